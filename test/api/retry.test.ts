import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type OpenAI, toFile } from 'openai';
import type { Batch } from '../../src/domain/batch.ts';
import { envelopeOf, limitedTo, NO_LIMITS, startTestApi, startWholeTestApi, type TestApi } from './test-api.ts';

let api: TestApi;
let client: OpenAI;
before(async () => {
  api = await startWholeTestApi();
  client = api.client();
});
after(async () => await api[Symbol.asyncDispose]());

/** Bytes that a parser would not write again: spaces, escapes, an exact number. */
const line = (id: string) =>
  `{ "custom_id":"${id}",  "method":"POST","url":"/v1/chat/completions","body":{"model":"m","n":1.0,"messages":[{"role":"user","content":"\\u00e9 ${id}"}]}}`;
const failed = (id: string) => ({
  id: 'batch_req_1',
  custom_id: id,
  response: { status_code: 500, request_id: 'r', body: {} },
  error: null,
});
const ended = (id: string, code: string) => ({ id: 'batch_req_2', custom_id: id, response: null, error: { code, message: 'm' } });
const upload = async (text: string) =>
  (await client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' })).id;
const contentOf = async (id: string) => await (await client.files.content(id)).text();

async function endedBatch(members: Partial<Batch> = {}): Promise<string> {
  const input = await upload(`${['a', 'b', 'c', 'd', 'e'].map(line).join('\r\n\n')}\n`);
  const errors = await upload(
    [failed('b'), ended('c', 'batch_expired'), ended('d', 'batch_cancelled'), ended('e', 'request_timeout')]
      .map((each) => `${JSON.stringify(each)}\n`)
      .join(''),
  );
  const { id } = await client.batches.create({
    input_file_id: input,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    metadata: { run: 'night' },
  });
  await api.batches.update('tenant-a', id, (record) => ({
    ...record,
    batch: { ...record.batch, status: 'expired', error_file_id: errors, ...members },
  }));
  return id;
}

const retry = async (id: string, body?: object, headers = {}) =>
  await api.fetch(`/v1/batches/${id}/retry`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

describe('POST /v1/batches/{id}/retry', () => {
  it('makes a batch of exactly the lines that were not answered, byte for byte, and each names the other', async () => {
    const id = await endedBatch();
    const answer = await retry(id);
    assert.equal(answer.status, 200);
    const made: Batch = Object(await answer.json());
    assert.equal(await contentOf(made.input_file_id), ['b', 'c', 'd', 'e'].map((each) => `${line(each)}\n`).join(''));
    assert.partialDeepStrictEqual(made, {
      status: 'validating',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { run: 'night' },
      nightshift: { retry_of: id },
    });
    assert.ok(api.runs.started.includes(made.id));
    assert.deepEqual(Object(await client.batches.retrieve(id)).nightshift, { retried_by: [made.id] });
    assert.equal(Object(await client.batches.retrieve(made.id)).nightshift.retry_of, id);
  });

  it('takes only the lines of the statuses that are named', async () => {
    const id = await endedBatch();
    for (const [status, ids] of [
      ['failed', ['b', 'e']],
      [['expired'], ['c']],
      [
        ['cancelled', 'expired'],
        ['c', 'd'],
      ],
    ] as const) {
      const made: Batch = Object(await (await retry(id, { status })).json());
      assert.equal(await contentOf(made.input_file_id), ids.map((each) => `${line(each)}\n`).join(''));
    }
  });

  it('makes one batch for a repeated call with a key, and keeps retries of different batches apart', async () => {
    const [one, two] = [await endedBatch(), await endedBatch()];
    const idOf = async (id: string) => Object(await (await retry(id, {}, { 'idempotency-key': `key of ${id}` })).json()).id;
    const made = await idOf(one);
    assert.equal(await idOf(one), made);
    assert.notEqual(await idOf(two), made);
    assert.equal((await retry(two, {}, { 'idempotency-key': `key of ${one}` })).status, 409);
  });

  it('works for a retry of a retry', async () => {
    const first: Batch = Object(await (await retry(await endedBatch())).json());
    const errors = await upload(`${JSON.stringify(failed('d'))}\n`);
    await api.batches.update('tenant-a', first.id, (record) => ({
      ...record,
      batch: { ...record.batch, status: 'completed', error_file_id: errors },
    }));
    const second: Batch = Object(await (await retry(first.id)).json());
    assert.equal(await contentOf(second.input_file_id), `${line('d')}\n`);
    assert.deepEqual(second.nightshift, { retry_of: first.id });
    // The input of the first batch has the same lines.
    await client.files.delete(first.input_file_id);
    const third: Batch = Object(await (await retry(first.id)).json());
    assert.equal(await contentOf(third.input_file_id), `${line('d')}\n`);
    const root = await client.batches.retrieve(first.nightshift?.retry_of ?? '');
    await client.files.delete(root.input_file_id);
    assert.match((await envelopeOf(await retry(first.id))).message, /its input file 'file-.*' is gone, and so are those of the batches/);
  });

  it('counts its input among the stored bytes of the tenant', async () => {
    const id = await endedBatch();
    const held = await api.files.storedBytes('tenant-a');
    const bytes = ['b', 'c', 'd', 'e'].reduce((sum, each) => sum + line(each).length + 1, 0);
    for (const [maxStoredBytes, status] of [
      [held + bytes - 1, 429],
      [held + bytes, 200],
    ] as const) {
      await using limited = await startTestApi(api, { settingsOf: limitedTo({ ...NO_LIMITS, maxStoredBytes }) });
      assert.equal((await limited.fetch(`/v1/batches/${id}/retry`, { method: 'POST' })).status, status);
    }
  });

  it('says why a batch cannot be run again', async () => {
    const running = await endedBatch({ status: 'in_progress' });
    const refused = await endedBatch({ status: 'failed' });
    const answered = await endedBatch({ status: 'completed', error_file_id: null });
    const onlyFailed = await endedBatch({ error_file_id: await upload(`${JSON.stringify(failed('b'))}\n`) });
    const withoutInput = await endedBatch();
    await client.files.delete((await client.batches.retrieve(withoutInput)).input_file_id);
    const withoutErrors = await endedBatch();
    await client.files.delete((await client.batches.retrieve(withoutErrors)).error_file_id ?? '');
    for (const [id, body, words] of [
      [running, {}, /only a batch that has ended/],
      [refused, {}, /its input was refused/],
      [answered, {}, /all of its lines were answered/],
      [onlyFailed, { status: 'expired' }, /none of its lines is expired/],
      [withoutInput, {}, /its input file 'file-.*' is gone.*upload the lines again/],
      [withoutErrors, {}, /its error file 'file-.*' is gone/],
    ] as const) {
      const answer = await retry(id, body);
      assert.equal(answer.status, 409, String(words));
      const { code, message } = await envelopeOf(answer);
      assert.equal(code, 'cannot_retry');
      assert.match(message, words);
    }
    for (const [body, param] of [
      [{ status: 'done' }, 'status'],
      [{ status: [] }, 'status'],
      [{ status: 7 }, 'status'],
      [{ lines: [1] }, 'lines'],
    ] as const) {
      const answer = await retry(running, body);
      assert.equal(answer.status, 400);
      assert.equal((await envelopeOf(answer)).param, param);
    }
    assert.equal((await retry(running, {}, { authorization: 'Bearer key-b' })).status, 404);
  });
});
