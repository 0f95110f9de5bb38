import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toFile } from 'openai';
import { type Stack, startStack } from '../helpers/stack.ts';
import { type PythonCases, runPythonCases } from './python-cases.ts';
import { REDUCED } from './reduced.ts';
import { assertEnvelope, json, send } from './wire.ts';

/** Each case has a tenant of its own, so that its lists hold nothing else. */
const TENANTS = ['many', 'twenty', 'empty', 'limits', 'second', 'cursor'];

describe('H. Lists', () => {
  let stack: Stack;
  let python: PythonCases;
  const made: string[] = [];
  before(async () => {
    const keys = TENANTS.map((name) => `key-${name}=tenant-${name}`).join(',');
    stack = await startStack({ env: { NIGHTSHIFT_API_KEYS: keys }, withWorker: false });
    for (let index = 0; index < 45; index += 1) made.push(await newBatch('many'));
    python = await runPythonCases('h_lists.py', stack);
  });
  after(async () => await stack[Symbol.asyncDispose]());

  async function newBatch(tenant: string): Promise<string> {
    const body = { input_file_id: 'file-nobody', endpoint: '/v1/chat/completions', completion_window: '24h' };
    const reply = await send(stack, '/v1/batches', { method: 'POST', key: `key-${tenant}`, body });
    return String(json(reply)['id']);
  }

  async function list(tenant: string, query = '', what = 'batches'): Promise<{ ids: string[]; envelope: Record<string, unknown> }> {
    const { data, ...envelope } = json(await send(stack, `/v1/${what}${query}`, { key: `key-${tenant}` }));
    assert.ok(Array.isArray(data));
    return { ids: data.map((each: { id: string }) => each.id), envelope };
  }

  it('case 97: 45 batches come newest first, 20 a page, and iterating yields each once', async () => {
    const { ids, envelope } = await list('many');
    assert.deepEqual(ids, made.toReversed().slice(0, 20));
    assert.deepEqual(envelope, { object: 'list', first_id: ids[0], last_id: ids[19], has_more: true });
    const iterated: string[] = [];
    for await (const batch of stack.client('key-many').batches.list()) iterated.push(batch.id);
    assert.deepEqual(iterated, made.toReversed());
    python.assertHolds(97);
    assert.deepEqual(python.valueOf(97), made.toReversed());
  });

  it('case 98: exactly 20 batches are one page and no more', async () => {
    for (let index = 0; index < 20; index += 1) await newBatch('twenty');
    const { ids, envelope } = await list('twenty', '?limit=20');
    assert.equal(ids.length, 20);
    assert.equal(envelope['has_more'], false);
  });

  it('case 99: a tenant without anything gets the empty envelope', async () => {
    const empty = { object: 'list', first_id: null, last_id: null, has_more: false };
    assert.deepEqual(await list('empty'), { ids: [], envelope: empty });
    assert.deepEqual(await list('empty', '', 'files'), { ids: [], envelope: empty });
    for await (const batch of stack.client('key-empty').batches.list()) assert.fail(batch.id);
  });

  it('case 100: a limit out of range is 400', async () => {
    const ask = async (path: string) => await send(stack, path, { key: 'key-limits' });
    const type = 'invalid_request_error';
    assertEnvelope(await ask('/v1/batches?limit=0'), 400, { type, param: 'limit', code: 'integer_below_min_value' });
    assertEnvelope(await ask('/v1/batches?limit=101'), 400, {
      type,
      param: 'limit',
      code: 'integer_above_max_value',
      message: "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
    });
    assertEnvelope(await ask('/v1/batches?limit=abc'), 400, { type, param: 'limit', code: 'invalid_type' });
    assertEnvelope(await ask('/v1/files?limit=10001'), 400, { type, param: 'limit', code: 'integer_above_max_value' });
    for (const path of ['/v1/batches?limit=100', '/v1/batches?limit=1', '/v1/files?limit=10000', '/v1/batches?limit=5&unknown=x']) {
      assert.equal((await ask(path)).status, 200, path);
    }
  });

  it('case 101: 30 batches of one second page without repeats or gaps', async () => {
    const created = await Promise.all(Array.from({ length: 30 }, async () => await newBatch('second')));
    const paged: string[] = [];
    for (let query = '?limit=7'; ;) {
      const { ids, envelope } = await list('second', query);
      paged.push(...ids);
      if (envelope['has_more'] !== true) break;
      query = `?limit=7&after=${ids.at(-1)}`;
    }
    assert.equal(paged.length, 30);
    assert.deepEqual(new Set(paged), new Set(created));
    assert.deepEqual((await list('second', '?limit=100')).ids, paged);
    const times: number[] = [];
    for await (const batch of stack.client('key-second').batches.list({ limit: 7 })) times.push(batch.created_at);
    assert.deepEqual(
      times,
      times.toSorted((one, other) => other - one),
      'newest first',
    );
    const seconds = Number(times[0]) - Number(times.at(-1));
    assert.ok(times.length === 30 && seconds <= REDUCED.createdWithinSeconds, `created within ${seconds} s`);
  });

  it('case 102: a deleted file goes on working as a cursor, an unknown one is 400', async () => {
    const client = stack.client('key-cursor');
    const files: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      files.push((await client.files.create({ file: await toFile(Buffer.from('{}\n'), 'input.jsonl'), purpose: 'batch' })).id);
    }
    const [first, second, third, fourth] = files;
    await client.files.delete(String(second));
    assert.deepEqual((await list('cursor', `?after=${third}`, 'files')).ids, [first]);
    assert.deepEqual((await list('cursor', `?after=${second}`, 'files')).ids, [first]);
    assert.deepEqual((await list('cursor', `?order=asc&after=${second}`, 'files')).ids, [third, fourth]);

    const iterated: string[] = [];
    for await (const file of client.files.list({ limit: 1 })) {
      iterated.push(file.id);
      await client.files.delete(file.id);
    }
    assert.deepEqual(iterated, [fourth, third, first], 'files may be deleted while they are iterated');

    for (const path of [
      `/v1/files?after=file-${'0'.repeat(24)}`,
      '/v1/files?after=nonsense',
      `/v1/batches?after=batch_${'0'.repeat(32)}`,
    ]) {
      assertEnvelope(await send(stack, path, { key: 'key-cursor' }), 400, { type: 'invalid_request_error', param: 'after' });
    }
    assertEnvelope(await send(stack, `/v1/batches?after=${made[0]}`, { key: 'key-cursor' }), 400, { param: 'after' });
  });
});
