import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type OpenAI, toFile } from 'openai';
import { createPriceTable } from '../../src/domain/prices.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { createModelStore } from '../../src/storage/model-store.ts';
import { until } from '../helpers/until.ts';
import { anUpstream } from '../helpers/upstream-facts.ts';
import { envelopeOf, startWholeTestApi, type TestApi } from './test-api.ts';

const line = (id: number) =>
  `{"custom_id":"${id}","method":"POST","url":"/v1/chat/completions","body":{"model":"small","max_tokens":10,"messages":[{"role":"user","content":"${'x'.repeat(36)}"}]}}\n`;
const many = (count: number) => Array.from({ length: count }, (_, at) => line(at)).join('');

let api: TestApi;
let client: OpenAI;
before(async () => {
  const prices = createPriceTable({ currency: 'USD', models: { small: { input: 1000, output: 10_000 } } });
  api = await startWholeTestApi({ prices, limits: { ...DEFAULT_LIMITS, maxRequestsPerBatch: 1000, maxBatchInputBytes: 1_000_000 } });
  client = api.client();
  const models = createModelStore({ store: api.store, nowMs: Date.now });
  await models.tell(anUpstream('gpu', { models: ['small'], aliases: { small: 'Qwen/Qwen3-8B' }, answersPerSecond: 20 }), ['small']);
});
after(async () => await api[Symbol.asyncDispose]());

const upload = async (text: string, purpose: 'batch' | 'user_data' = 'batch') =>
  (await client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose })).id;
const bodyOf = (inputFileId: string, more = {}) => ({
  input_file_id: inputFileId,
  endpoint: '/v1/chat/completions',
  completion_window: '24h',
  ...more,
});
const ask = async (body: object, init: RequestInit = {}, on: TestApi = api) =>
  await on.fetch('/v1/batches/estimate', {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
    ...init,
  });

describe('POST /v1/batches/estimate', () => {
  it('answers requests, models, upstreams, tokens, time and cost, and makes no batch', async () => {
    const id = await upload(many(200));
    const found: object = await client.post('/batches/estimate', { body: bodyOf(id) });
    const cost = { currency: 'USD', input: 2, max_output: 20, max_total: 22 };
    const tokens = { input_tokens: 2000, max_output_tokens: 2000, requests_with_media: 0 };
    assert.deepEqual(found, {
      object: 'batch.estimate',
      input_file_id: id,
      endpoint: '/v1/chat/completions',
      valid: true,
      errors: null,
      requests: 200,
      models: [{ model: 'small', upstream: 'gpu', upstream_model: 'Qwen/Qwen3-8B', requests: 200, ...tokens, cost }],
      upstreams: [{ name: 'gpu', requests: 200, requests_per_second: 20, seconds: 10 }],
      ...tokens,
      token_method: 'bytes_per_token_4',
      seconds: 10,
      cost,
    });
    assert.deepEqual((await client.batches.list()).data, []);
    assert.deepEqual(api.runs.started, []);
  });

  it('finds the faults that the batch would end with', async () => {
    const codes = async (id: string): Promise<unknown> => {
      const { valid, errors } = Object(await (await ask(bodyOf(id))).json());
      return [valid, errors?.data.map(({ code, line: at }: { code: string; line: number | null }) => `${code} ${at}`)];
    };
    assert.deepEqual(await codes(await upload(`${line(1)}${line(1)}{\n`)), [false, ['duplicate_custom_id 2', 'invalid_json_line 3']]);
    assert.deepEqual(await codes(await upload(line(1).replace('small', 'large'))), [false, ['model_not_found 1']]);
    assert.deepEqual(await codes(await upload(many(1001))), [false, ['too_many_tasks null']]);
    for (const id of ['file-000000000000000000000000', 'no-such-file'])
      assert.deepEqual(await codes(id), [false, ['invalid_request null']]);
  });

  it('says that a file is larger than this server takes, and refuses one that only a process cannot read in time', async () => {
    const id = await upload(line(1));
    await using strict = await startWholeTestApi({ files: api.deps.files, limits: { ...DEFAULT_LIMITS, maxBatchInputBytes: 100 } });
    const { errors } = Object(await (await ask(bodyOf(id), {}, strict)).json());
    assert.match(errors.data[0].message, /larger than the 100 maximum for the small model/);

    const files = { ...api.deps.files, get: async () => ({ ...(await client.files.retrieve(id)), bytes: 300_000_000 }) as never };
    await using large = await startWholeTestApi({ files, limits: { ...DEFAULT_LIMITS, maxBatchInputBytes: 1_000_000_000 } });
    const refused = await ask(bodyOf(id), {}, large);
    assert.deepEqual([refused.status, (await envelopeOf(refused)).code], [400, 'file_too_large']);
  });

  it('refuses what a create refuses, and every other method', async () => {
    const id = await upload(line(1));
    for (const body of [bodyOf(id, { endpoint: '/v1/nothing' }), bodyOf(id, { more: 1 }), bodyOf(await upload(line(1), 'user_data')), {}]) {
      assert.equal((await ask(body)).status, 400, JSON.stringify(body));
    }
    const got = await api.fetch('/v1/batches/estimate');
    assert.deepEqual([got.status, got.headers.get('allow')], [405, 'POST']);
    const elsewhere: object = await api.client('key-b').post('/batches/estimate', { body: bodyOf(id) });
    assert.equal(Object(elsewhere).valid, false, 'the file of another tenant is not found');
  });
});

describe('POST /v1/batches/estimate of a slow bucket', () => {
  /** An API whose files come line by line and never end; `open` counts those that are read. */
  async function slowApi(estimateTimeoutMs: number) {
    const reading = { open: 0, began: 0 };
    const base = api.deps.files;
    const files = {
      ...base,
      async openContent() {
        reading.open += 1;
        reading.began += 1;
        async function* lines() {
          for (let at = 0; ; at++) {
            yield Buffer.from(line(at));
            await delay(5);
          }
        }
        const body = Readable.from(lines());
        body.once('close', () => (reading.open -= 1));
        return await Promise.resolve({ body, size: 1 });
      },
    };
    const slow = await startWholeTestApi({ files, estimateTimeoutMs });
    return { slow, reading };
  }

  it('ends after its time, and says at which line', async () => {
    const { slow, reading } = await slowApi(200);
    await using _slow = slow;
    const answer = await ask(bodyOf(await upload(line(1))), {}, slow);
    const { code, message } = await envelopeOf(answer);
    assert.deepEqual([answer.status, code, answer.headers.get('x-should-retry'), reading.open], [503, 'estimate_timeout', 'false', 0]);
    assert.match(message, /stopped after 0 seconds, at line \d+\. .*nightshift check FILE/);
  });

  it('ends when its client hangs up, and lets a tenant make one estimate at a time', async () => {
    const { slow, reading } = await slowApi(60_000);
    await using _slow = slow;
    const body = bodyOf(await upload(line(1)));
    const first = new AbortController();
    const second = new AbortController();
    const asked = [ask(body, { signal: first.signal }, slow), ask(body, { signal: second.signal }, slow)];
    const ended = Promise.allSettled(asked);
    await until(() => reading.open === 1, { what: 'the first estimate' });
    await delay(100);
    assert.equal(reading.open, 1, 'the second one waits');
    first.abort();
    await until(() => reading.began === 2 && reading.open === 1, { what: 'the second estimate' });
    second.abort();
    await ended;
    await until(() => reading.open === 0, { what: 'the end of the reading' });
  });
});
