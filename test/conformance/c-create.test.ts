import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { chatLine, chatLines, ended, resultLines } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { expireFile } from './bucket.ts';
import { startRecordingProxy } from './recording-proxy.ts';
import { REDUCED } from './reduced.ts';
import { assertEnvelope, json, type Reply, send } from './wire.ts';

describe('C. Create', () => {
  let stack: Stack;
  let client: OpenAI;
  let fileId: string;
  before(async () => {
    stack = await startStack({ env: { NIGHTSHIFT_COMPLETION_WINDOWS: '24h' } });
    client = stack.client();
    // Its second line ends a batch before it costs anything: most cases ask what a create answers.
    fileId = (await uploaded(`${chatLine('good')}\n{"custom_id":"lacks the rest"}`)).id;
  });
  after(async () => await stack[Symbol.asyncDispose]());

  const uploaded = async (text: string, purpose: 'batch' | 'user_data' = 'batch', as = client) =>
    await as.files.create({ file: await toFile(Buffer.from(text), 'input.jsonl'), purpose });
  const wanted = (changes: Record<string, unknown> = {}) => ({
    input_file_id: fileId,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    ...changes,
  });
  const create = async (body: object, options: { key?: string; headers?: Record<string, string> } = {}): Promise<Reply> =>
    await send(stack, '/v1/batches', { method: 'POST', body, ...options });
  const created = async (body: object, options: { key?: string; headers?: Record<string, string> } = {}): Promise<string> => {
    const reply = await create(body, options);
    assert.equal(reply.status, 200, reply.text);
    return String(json(reply)['id']);
  };

  it('case 32: a minimal create answers a whole batch within a second', async () => {
    const tookMs: number[] = [];
    const replies: Reply[] = [];
    while (replies.length < REDUCED.creates) {
      const began = performance.now();
      replies.push(await create(wanted()));
      tookMs.push(performance.now() - began);
    }
    const median = tookMs.toSorted((one, other) => one - other)[Math.trunc(tookMs.length / 2)] ?? Infinity;
    assert.ok(median < 1000, `creates took ${tookMs.map(Math.round).join(', ')} ms`);
    for (const reply of replies) assertWholeBatch(reply);
  });

  function assertWholeBatch(reply: Reply): void {
    assert.equal(reply.status, 200);
    const batch = json(reply);
    assert.match(String(batch['id']), /^batch_[0-9a-f]{32}$/);
    const created_at = Number(batch['created_at']);
    assert.ok(Number.isInteger(created_at) && Math.abs(created_at - Date.now() / 1000) < 60);
    assert.deepEqual(batch, {
      id: batch['id'],
      object: 'batch',
      endpoint: '/v1/chat/completions',
      model: null,
      errors: null,
      input_file_id: fileId,
      completion_window: '24h',
      status: 'validating',
      output_file_id: null,
      error_file_id: null,
      created_at,
      in_progress_at: null,
      expires_at: created_at + 86_400,
      finalizing_at: null,
      completed_at: null,
      failed_at: null,
      expired_at: null,
      cancelling_at: null,
      cancelled_at: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      usage: {
        input_tokens: 0,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 0,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 0,
      },
      metadata: null,
    });
  }

  it('case 33: metadata is echoed unchanged, and null is accepted', async () => {
    const metadata = { a: 'b', 'ünï "q"': '😀\u2028' };
    const batch = await client.batches.create({
      input_file_id: fileId,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata,
    });
    assert.deepEqual(batch.metadata, metadata);
    assert.deepEqual((await client.batches.retrieve(batch.id)).metadata, metadata);
    assert.deepEqual((await client.batches.list()).data.find((each) => each.id === batch.id)?.metadata, metadata);
    const none = await client.batches.create({
      input_file_id: fileId,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: null,
    });
    assert.equal(none.metadata, null);
  });

  it('case 34: metadata over its bounds, or of other types, is 400', async () => {
    const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
    for (const [metadata, param, code] of [
      [keys(17), 'metadata', 'object_above_max_properties'],
      [{ ['k'.repeat(65)]: 'v' }, 'metadata', 'property_name_above_max_length'],
      [{ k: 'v'.repeat(513) }, 'metadata.k', 'string_above_max_length'],
      [{ tags: ['a'] }, 'metadata.tags', 'invalid_type'],
      [{ n: 1 }, 'metadata.n', 'invalid_type'],
    ] as const) {
      assertEnvelope(await create(wanted({ metadata })), 400, { type: 'invalid_request_error', param, code });
    }
    const { message: tags } = assertEnvelope(await create(wanted({ metadata: { tags: ['a'] } })), 400);
    assert.equal(tags, "Invalid type for 'metadata.tags': expected a string, but got an array instead.");
    const { message: many } = assertEnvelope(await create(wanted({ metadata: keys(17) })), 400);
    assert.equal(
      many,
      "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
    );
    for (const metadata of [keys(16), { ['😀'.repeat(64)]: 'v' }, { k: '😀'.repeat(512) }]) await created(wanted({ metadata }));
  });

  it('case 35: an endpoint that is none is 400 and names those there are', async () => {
    const error = assertEnvelope(await create(wanted({ endpoint: '/v1/invalid/endpoint' })), 400, {
      type: 'invalid_request_error',
      param: 'endpoint',
      code: 'invalid_value',
    });
    assert.match(error.message, /^Invalid value: '\/v1\/invalid\/endpoint'\. Supported values are: '.+', .* and '.+'\.$/);
  });

  it('case 36: a completion window that is not configured is 400', async () => {
    for (const completion_window of ['1h', '48h', 'invalid', '']) {
      const error = assertEnvelope(await create(wanted({ completion_window })), 400, {
        type: 'invalid_request_error',
        param: 'completion_window',
      });
      assert.match(error.message, /completion_window/);
    }
  });

  it('case 37: each required field that is missing is 400 and named', async () => {
    for (const param of ['input_file_id', 'endpoint', 'completion_window']) {
      for (const value of [undefined, null]) {
        const error = assertEnvelope(await create(wanted({ [param]: value })), 400, {
          type: 'invalid_request_error',
          param,
          code: 'missing_required_parameter',
        });
        assert.equal(error.message, `Missing required parameter: '${param}'.`);
      }
    }
  });

  it('case 38: output_expires_after counts from the creation of the result files', async () => {
    for (const [output_expires_after, param, code] of [
      [{ anchor: 'created_at', seconds: 3599 }, 'output_expires_after.seconds', 'integer_below_min_value'],
      [{ anchor: 'created_at', seconds: 2_592_001 }, 'output_expires_after.seconds', 'integer_above_max_value'],
      [{ anchor: 'created_at', seconds: '3600' }, 'output_expires_after.seconds', 'invalid_type'],
      [{ anchor: 'completed_at', seconds: 3600 }, 'output_expires_after.anchor', 'invalid_value'],
      [{ anchor: 'created_at' }, 'output_expires_after.seconds', 'missing_required_parameter'],
    ] as const) {
      assertEnvelope(await create(wanted({ output_expires_after })), 400, { type: 'invalid_request_error', param, code });
    }
    const input = await uploaded([chatLine('good', 'delay=2100'), chatLine('bad', 'status=400')].join('\n'));
    for (const seconds of [3600, 2_592_000]) {
      const id = await created(wanted({ input_file_id: input.id, output_expires_after: { anchor: 'created_at', seconds } }));
      const batch = await ended(client, id);
      assert.equal(batch.status, 'completed');
      for (const result of [batch.output_file_id, batch.error_file_id]) {
        const file = await client.files.retrieve(String(result));
        assert.equal(file.expires_at, file.created_at + seconds);
        assert.ok(file.created_at >= batch.created_at + 2, 'the clock starts with the file, not with the batch');
      }
    }
  });

  it("case 39: an unknown, deleted, expired or other tenant's input file fails the batch", async () => {
    const deleted = await uploaded(chatLines(1));
    await client.files.delete(deleted.id);
    const foreign = await uploaded(chatLines(1), 'batch', stack.client('key-b'));
    const expired = await uploaded(chatLines(1));
    await expireFile(stack, 'tenant-a', expired.id);
    for (const id of ['file-doesnotexist', `file-${'0'.repeat(24)}`, 'a/b?c', deleted.id, foreign.id, expired.id]) {
      const batch = await ended(client, await created(wanted({ input_file_id: id })));
      assert.equal(batch.status, 'failed');
      assert.deepEqual(batch.errors, {
        object: 'list',
        data: [
          {
            code: 'invalid_request',
            message: `Cannot find file ${id}, or organization does not have access to it.`,
            param: 'file_id',
            line: null,
          },
        ],
      });
    }
  });

  it('case 40: an input file of another purpose is 400', async () => {
    const { id } = await uploaded('notes', 'user_data');
    assertEnvelope(await create(wanted({ input_file_id: id })), 400, { type: 'invalid_request_error', param: 'input_file_id' });
  });

  it('case 41: two batches of one file are independent, and both complete', async () => {
    const input_file_id = (await uploaded(chatLines(1))).id;
    const ids = [await created(wanted({ input_file_id })), await created(wanted({ input_file_id }))];
    assert.equal(new Set(ids).size, 2);
    const [one, two] = await Promise.all(ids.map(async (id) => await ended(client, id)));
    assert.deepEqual([one?.status, two?.status], ['completed', 'completed']);
    assert.notEqual(one?.output_file_id, two?.output_file_id);
    for (const batch of [one, two]) assert.equal((await resultLines(client, batch?.output_file_id)).length, 1);
  });

  it('case 43: an idempotency key makes one batch, and another body under it is 409', async () => {
    const headers = { 'idempotency-key': 'case-43' };
    const first = await created(wanted(), { headers });
    assert.equal(await created(wanted(), { headers }), first);
    const other = await create(wanted({ metadata: { a: 'b' } }), { headers });
    assertEnvelope(other, 409, { type: 'invalid_request_error' });
    assert.equal(other.headers.get('x-should-retry'), 'false');
    assert.notEqual(await created(wanted(), { headers: { 'idempotency-key': 'case-43-b' } }), first);
    assert.notEqual(await created(wanted(), { headers, key: 'key-b' }), first);
  });

  it('case 44: an SDK retry of a create whose answer was lost makes no second batch', async () => {
    const metadata = { case: '44' };
    const params = { input_file_id: fileId, endpoint: '/v1/chat/completions', completion_window: '24h', metadata } as const;
    await using proxy = await startRecordingProxy(stack.origin);
    proxy.loseAnswers(1);
    const batch = await new OpenAI({ baseURL: proxy.baseURL, apiKey: 'key-a' }).batches.create(params);
    const tries = proxy.seen.map(({ headers, status }) => `${String(headers['x-stainless-retry-count'])}: ${status}`);
    assert.deepEqual(tries, ['0: 200', '1: 200']);
    const lost: { id: string } = JSON.parse(proxy.seen[0]?.body ?? '');
    assert.equal(batch.id, lost.id);
    const same = async () => (await client.batches.list({ limit: 100 })).data.filter((each) => each.metadata?.['case'] === '44').length;
    assert.equal(await same(), 1);
    assert.notEqual((await client.batches.create(params)).id, batch.id);
    assert.equal(await same(), 2);
    const foreign = await created(params, { key: 'key-b', headers: { 'x-stainless-retry-count': '1' } });
    assert.notEqual(foreign, batch.id);
  });
});
