import assert from 'node:assert/strict';
import { medianMs } from '../helpers/median.ts';
import { after, before, describe, it } from 'node:test';
import { type OpenAI, toFile } from 'openai';
import { DEFAULT_ENDPOINTS } from '../../src/domain/endpoint.ts';
import { until } from '../helpers/until.ts';
import { collect } from '../storage/test-bucket.ts';
import { envelopeOf, startWholeTestApi, type TestApi } from './test-api.ts';

describe('POST /v1/batches', () => {
  let api: TestApi;
  let client: OpenAI;
  let inputFileId: string;
  before(async () => {
    api = await startWholeTestApi({
      completionWindows: new Map([
        ['24h', 86_400_000],
        ['1500ms', 1500],
      ]),
    });
    client = api.client();
    inputFileId = (await client.files.create({ file: await toFile(Buffer.from('{"custom_id":"1"}\n'), 'in.jsonl'), purpose: 'batch' })).id;
  });
  after(async () => await api[Symbol.asyncDispose]());

  const minimal = () => ({ input_file_id: inputFileId, endpoint: '/v1/chat/completions', completion_window: '24h' });
  const post = async (body: object, headers: Record<string, string> = {}) =>
    await api.fetch('/v1/batches', { method: 'POST', body: JSON.stringify(body), headers });
  const idOf = async (answer: Response) => {
    assert.equal(answer.status, 200);
    return String(Object(await answer.json()).id);
  };

  describe('200', () => {
    it('answers the whole object at once, and the batch is stored, marked open and started', async () => {
      const answer = await post(minimal());
      const batch = Object(await answer.json());
      const { id, created_at, ...rest } = batch;
      assert.match(id, /^batch_[0-9a-f]{32}$/);
      assert.deepEqual(rest, {
        object: 'batch',
        endpoint: '/v1/chat/completions',
        model: null,
        errors: null,
        input_file_id: inputFileId,
        completion_window: '24h',
        status: 'validating',
        output_file_id: null,
        error_file_id: null,
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
      const { nightshift, ...retrieved } = Object(await client.batches.retrieve(id));
      assert.deepEqual(retrieved, batch);
      assert.deepEqual(nightshift, { lines_per_second: null, eta_at: null, in_flight: 0, waiting: [], failures: [] });
      assert.ok(api.runs.started.includes(id));
      const open = (await collect(api.batches.listOpen())).find((each) => each.id === id);
      assert.partialDeepStrictEqual(open, { tenant: 'tenant-a', inputFileId });
    });

    it('takes a priority of 1 to 5 in the metadata, and refuses any other', async () => {
      assert.equal((await post({ ...minimal(), metadata: { nightshift_priority: '1' } })).status, 200);
      const refused = await post({ ...minimal(), metadata: { nightshift_priority: '6' } });
      assert.equal(refused.status, 400);
      const { error } = Object(await refused.json());
      assert.deepEqual([error.code, error.param], ['invalid_value', 'metadata.nightshift_priority']);
    });

    it('refuses a priority that the operator does not allow the tenant, and says which ones it may ask for', async () => {
      const answers = await Promise.all(
        ['1', '2', '3', '5'].map(async (priority) =>
          post(
            { ...minimal(), input_file_id: 'file-of-nobody', metadata: { nightshift_priority: priority } },
            { authorization: 'Bearer key-b' },
          ),
        ),
      );
      assert.deepEqual(
        answers.map(({ status }) => status),
        [400, 400, 200, 200],
      );
      const { error } = Object(await answers[1]?.json());
      assert.deepEqual([error.code, error.param], ['invalid_value', 'metadata.nightshift_priority']);
      assert.match(error.message, /: '2'\. The priorities that you may ask for are: '3', '4' and '5'\. .*NIGHTSHIFT_TENANT_PRIORITIES/);
    });

    it('takes true or false for nightshift_deduplicate, and refuses anything else', async () => {
      assert.equal((await post({ ...minimal(), metadata: { nightshift_deduplicate: 'true' } })).status, 200);
      const refused = await post({ ...minimal(), metadata: { nightshift_deduplicate: 'yes' } });
      assert.equal(refused.status, 400);
      assert.equal((await envelopeOf(refused)).param, 'metadata.nightshift_deduplicate');
    });

    it('echoes metadata unchanged everywhere, and takes null', async () => {
      const metadata = { b: 'x', a: '', ключ: '🌙'.repeat(512), ['k'.repeat(64)]: 'v' };
      const batch = await client.batches.create({ ...minimal(), completion_window: '24h', endpoint: '/v1/chat/completions', metadata });
      assert.deepEqual(batch.metadata, metadata);
      assert.deepEqual((await client.batches.retrieve(batch.id)).metadata, metadata);
      assert.deepEqual((await client.batches.list({ limit: 1 })).data[0]?.metadata, metadata);
      const hostile = await api.fetch('/v1/batches', {
        method: 'POST',
        body: `{"metadata":{"__proto__":"p","constructor":"c"},${JSON.stringify(minimal()).slice(1)}`,
      });
      assert.match(await hostile.text(), /"metadata":\{"__proto__":"p","constructor":"c"\}/);
      assert.equal((await post({ ...minimal(), metadata: null })).status, 200);
      const sixteen = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, 'v'.repeat(512)]));
      assert.equal((await post({ ...minimal(), metadata: sixteen })).status, 200);
    });

    it('echoes keys of metadata that JSON writes with escapes, whatever keys others had before', async () => {
      // Node's JSON.parse would take the second key for the first: in the body, in the record, and here.
      for (const key of ['a\\', 'a\n', 'a"', '\\', '"']) {
        const metadata = { escaped: 'keys', [key]: 'x' };
        for (const answer of [await post({ ...minimal(), metadata }), await api.fetch('/v1/batches?limit=1')]) {
          assert.ok((await answer.text()).includes(`"metadata":${JSON.stringify(metadata)}`), key);
        }
      }
    });

    it('takes every endpoint and window that is open, and the bounds of the result files', async () => {
      for (const endpoint of DEFAULT_ENDPOINTS) assert.equal((await post({ ...minimal(), endpoint })).status, 200, endpoint);
      const short = Object(await (await post({ ...minimal(), completion_window: '1500ms' })).json());
      assert.equal(short.expires_at, short.created_at + 2);
      for (const seconds of [3600, 2_592_000]) {
        const id = await idOf(await post({ ...minimal(), output_expires_after: { anchor: 'created_at', seconds } }));
        assert.equal((await api.batches.get('tenant-a', id))?.output_expires_after_seconds, seconds);
      }
    });

    it('takes a file that cannot be found: the batch will fail later', async () => {
      const foreign = await api.client('key-b').files.create({ file: await toFile(Buffer.from('{}\n'), 'x'), purpose: 'user_data' });
      for (const unknown of [`file-${'0'.repeat(24)}`, 'nope', '../../x', foreign.id]) {
        const batch = Object(await (await post({ ...minimal(), input_file_id: unknown })).json());
        assert.deepEqual([batch.status, batch.input_file_id], ['validating', unknown]);
      }
    });

    it('finds a file at once that was uploaded a moment ago', async () => {
      const created = await Promise.all(
        Array.from({ length: 40 }, async () => {
          const file = await client.files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'user_data' });
          return (await post({ ...minimal(), input_file_id: file.id })).status;
        }),
      );
      assert.ok(created.every((status) => status === 400));
    });

    it('answers while Temporal is away or silent, and says so in the log', async () => {
      for (const state of ['away', 'silent'] as const) {
        api.runs.state = state;
        let id = '';
        const ms = await medianMs(5, async () => (id = await idOf(await post(minimal()))));
        assert.ok(ms < 1000, `${Math.round(ms)} ms while Temporal is ${state}`);
        assert.equal((await client.batches.retrieve(id)).status, 'validating');
      }
      api.runs.state = 'up';
      assert.ok(api.log.some(({ level, message }) => level === 'warn' && /start/.test(message)));
    });
  });

  describe('400', () => {
    const refused = async (body: object) => {
      const answer = await post(body);
      assert.equal(answer.status, 400, JSON.stringify(body).slice(0, 200));
      return await envelopeOf(answer);
    };

    it('names each required field that is missing', async () => {
      for (const name of ['input_file_id', 'endpoint', 'completion_window']) {
        for (const value of [undefined, null]) {
          assert.deepEqual(await refused({ ...minimal(), [name]: value }), {
            message: `Missing required parameter: '${name}'.`,
            type: 'invalid_request_error',
            param: name,
            code: 'missing_required_parameter',
          });
        }
        assert.partialDeepStrictEqual(await refused({ ...minimal(), [name]: 5 }), { param: name, code: 'invalid_type' });
      }
    });

    it('refuses parameters that do not exist', async () => {
      for (const name of ['metdata', 'output_expire_after', 'Endpoint', '']) {
        assert.partialDeepStrictEqual(await refused({ ...minimal(), [name]: null }), { code: 'unknown_parameter', param: name });
      }
      assert.equal((await refused({ ...minimal(), ['x'.repeat(1000)]: 1 })).param?.length, 80);
    });

    it('refuses an empty input_file_id, which can name no file', async () => {
      const error = await refused({ ...minimal(), input_file_id: '' });
      assert.partialDeepStrictEqual(error, { param: 'input_file_id', code: 'empty_string' });
    });

    it('lists the endpoints there are', async () => {
      const error = await refused({ ...minimal(), endpoint: '/v1/invalid/endpoint' });
      assert.partialDeepStrictEqual(error, { param: 'endpoint', code: 'invalid_value' });
      assert.match(
        error.message,
        /^Invalid value: '\/v1\/invalid\/endpoint'\. Supported values are: '\/v1\/chat\/completions', .* and '[^']+'\.$/,
      );
    });

    it('names the completion window', async () => {
      for (const completion_window of ['1h', '48h', 'invalid', '']) {
        const error = await refused({ ...minimal(), completion_window });
        assert.equal(error.param, 'completion_window');
        assert.match(error.message, /completion_window/);
      }
    });

    it('names what is wrong with metadata', async () => {
      const seventeen = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, 'v']));
      const cases = [
        [seventeen, 'metadata', 'object_above_max_properties'],
        [{ ['k'.repeat(65)]: 'v' }, 'metadata', 'property_name_above_max_length'],
        [{ k: 'v'.repeat(513) }, 'metadata.k', 'string_above_max_length'],
        [{ tags: ['a'] }, 'metadata.tags', 'invalid_type'],
        [{ n: 1 }, 'metadata.n', 'invalid_type'],
        [{ n: null }, 'metadata.n', 'invalid_type'],
        ['x', 'metadata', 'invalid_type'],
        [['x'], 'metadata', 'invalid_type'],
      ] as const;
      for (const [metadata, param, code] of cases)
        assert.partialDeepStrictEqual(await refused({ ...minimal(), metadata }), { param, code });
      assert.equal(
        (await refused({ ...minimal(), metadata: { tags: ['a'] } })).message,
        "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
      );
      assert.match(
        (await refused({ ...minimal(), metadata: seventeen })).message,
        /^Invalid 'metadata': too many properties\. Expected an object with at most 16 properties, but got an object with 17 properties instead\.$/,
      );
    });

    it('names what is wrong with output_expires_after', async () => {
      const cases = [
        [{ anchor: 'created_at', seconds: 3599 }, 'output_expires_after.seconds', 'integer_below_min_value'],
        [{ anchor: 'created_at', seconds: 2_592_001 }, 'output_expires_after.seconds', 'integer_above_max_value'],
        [{ anchor: 'created_at', seconds: '3600' }, 'output_expires_after.seconds', 'invalid_type'],
        [{ anchor: 'created_at', seconds: 3600.5 }, 'output_expires_after.seconds', 'invalid_type'],
        [{ anchor: 'created_at' }, 'output_expires_after.seconds', 'missing_required_parameter'],
        [{ anchor: 'batch', seconds: 3600 }, 'output_expires_after.anchor', 'invalid_value'],
        [{ seconds: 3600 }, 'output_expires_after.anchor', 'missing_required_parameter'],
        [3600, 'output_expires_after', 'invalid_type'],
      ] as const;
      for (const [output_expires_after, param, code] of cases)
        assert.partialDeepStrictEqual(await refused({ ...minimal(), output_expires_after }), { param, code });
    });

    it('refuses a file of another purpose', async () => {
      const file = await client.files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'user_data' });
      assert.partialDeepStrictEqual(await refused({ ...minimal(), input_file_id: file.id }), {
        param: 'input_file_id',
        type: 'invalid_request_error',
      });
    });
  });

  describe('a repeat', () => {
    it('with the same Idempotency-Key and body makes the same batch, also side by side', async () => {
      const headers = { 'idempotency-key': 'order-1' };
      const answers = await Promise.all(Array.from({ length: 5 }, async () => await post(minimal(), headers)));
      const ids = new Set(await Promise.all(answers.map(idOf)));
      assert.equal(ids.size, 1);
      assert.equal(await idOf(await post(minimal(), headers)), [...ids][0]);
      assert.notEqual(await idOf(await post(minimal(), { 'idempotency-key': 'order-2' })), [...ids][0]);
    });

    it('answers the batch as it stands now', async () => {
      const headers = { 'idempotency-key': 'order-3' };
      const id = await idOf(await post(minimal(), headers));
      await client.batches.cancel(id);
      assert.partialDeepStrictEqual(await (await post(minimal(), headers)).json(), { id, status: 'cancelling' });
    });

    it('answers 409, and no need to retry, to a key that another body had', async () => {
      const headers = { 'idempotency-key': 'order-4' };
      await idOf(await post(minimal(), headers));
      const answer = await post({ ...minimal(), metadata: { a: 'b' } }, headers);
      assert.deepEqual([answer.status, answer.headers.get('x-should-retry')], [409, 'false']);
      await envelopeOf(answer);
    });

    it('keeps the keys of tenants apart', async () => {
      const headers = { 'idempotency-key': 'order-5' };
      const id = await idOf(await post(minimal(), headers));
      assert.notEqual(await idOf(await post(minimal(), { ...headers, authorization: 'Bearer key-b' })), id);
    });

    it('without a key makes another batch, unless it is an SDK retry within ten minutes', async () => {
      const body = { ...minimal(), metadata: { test: 'retry' } };
      const retry = { 'x-stainless-retry-count': '1' };
      const first = await idOf(await post(body, { 'x-stainless-retry-count': '0' }));
      const second = await idOf(await post(body));
      assert.notEqual(second, first);
      assert.equal(await idOf(await post(body, retry)), second);
      assert.notEqual(await idOf(await post({ ...body, metadata: { test: 'other' } }, retry)), second);
      assert.notEqual(await idOf(await post(body, { ...retry, authorization: 'Bearer key-b' })), second);
      api.advance(570_000);
      assert.equal(await idOf(await post(body, retry)), second);
      api.advance(31_000);
      const third = await idOf(await post(body, retry));
      assert.notEqual(third, second);
      assert.equal(await idOf(await post(body, retry)), third);
    });

    it('is one batch when the SDK retries side by side what was last created long ago', async () => {
      const body = { ...minimal(), metadata: { test: 'retries at once' } };
      const old = await idOf(await post(body));
      api.advance(601_000);
      const retries = Array.from(
        { length: 8 },
        async (_, index) => await idOf(await post(body, { 'x-stainless-retry-count': `${index + 1}` })),
      );
      const ids = new Set(await Promise.all(retries));
      assert.equal(ids.size, 1);
      assert.ok(!ids.has(old));
    });

    it('finishes a creation that broke off', async () => {
      const body = { ...minimal(), metadata: { test: 'broken off' } };
      const { create } = api.batches;
      api.batches.create = async () => await Promise.reject(new Error('killed'));
      assert.equal((await post(body)).status, 500);
      api.batches.create = create;
      const id = await idOf(await post(body, { 'x-stainless-retry-count': '1' }));
      assert.equal(await idOf(await post(body, { 'x-stainless-retry-count': '2' })), id);
      assert.ok(api.runs.started.includes(id));
      assert.equal((await collect(api.batches.listOpen())).filter((open) => open.id === id).length, 1);
      assert.equal(
        (await client.batches.list({ limit: 100 })).data.filter(({ metadata }) => metadata?.['test'] === 'broken off').length,
        1,
      );
    });
  });

  describe('a repeat after an answer that was lost', () => {
    const countOf = async (test: string) =>
      (await client.batches.list({ limit: 100 })).data.filter(({ metadata }) => metadata?.['test'] === test).length;

    it('makes no second batch for a client that sends no headers of an SDK, and the next create makes one', async () => {
      const body = { ...minimal(), metadata: { test: 'plain repeat' } };
      const { create, get } = api.batches;
      api.batches.create = async (record) => (await create(record), await Promise.reject(new Error('answer lost')));
      api.batches.get = async () => await Promise.reject(new Error('away'));
      assert.equal((await post(body)).status, 500);
      Object.assign(api.batches, { create, get });
      const repeated = await idOf(await post(body));
      assert.equal(await countOf('plain repeat'), 1);
      assert.notEqual(await idOf(await post(body)), repeated);
      assert.equal(await countOf('plain repeat'), 2);
    });

    it('is not needed where the record stands: the answer is 200', async () => {
      const body = { ...minimal(), metadata: { test: 'stands' } };
      const { create } = api.batches;
      api.batches.create = async (record) => (await create(record), await Promise.reject(new Error('answer lost')));
      const id = await idOf(await post(body));
      api.batches.create = create;
      assert.equal((await client.batches.retrieve(id)).status, 'validating');
      assert.equal(await countOf('stands'), 1);
    });

    it('makes no second batch when the client hung up before it was answered', async () => {
      const body = { ...minimal(), metadata: { test: 'hung up' } };
      const { create } = api.batches;
      const hangUp = new AbortController();
      api.batches.create = async (record) => {
        await create(record);
        hangUp.abort();
        await until(() => api.log.some((line) => line['aborted'] === true && line['path'] === '/v1/batches'), {
          what: 'the client to be gone',
        });
      };
      const aborted = api.fetch('/v1/batches', { method: 'POST', body: JSON.stringify(body), signal: hangUp.signal });
      await assert.rejects(aborted);
      api.batches.create = create;
      await until(async () => (await countOf('hung up')) === 1, { what: 'the batch' });
      await idOf(await post(body));
      assert.equal(await countOf('hung up'), 1);
    });
  });

  describe('500', () => {
    it('answers the envelope without a trace of the cause, which is in the log; the SDK retries twice and makes one batch', async () => {
      const { create } = api.batches;
      let calls = 0;
      api.batches.create = async (record) => (++calls < 3 ? await Promise.reject(new Error('secret cause')) : await create(record));
      const answer = await post(minimal());
      assert.equal(answer.status, 500);
      const id = answer.headers.get('x-request-id');
      const error = await envelopeOf(answer);
      assert.doesNotMatch(JSON.stringify(error), /secret cause|at .*\.ts/);
      assert.ok(
        api.log.some((line) => line.level === 'error' && line['request_id'] === id && String(line['err']).includes('secret cause')),
      );

      calls = 0;
      const before = (await client.batches.list({ limit: 100 })).data.length;
      await api.client('key-a', { maxRetries: 2 }).batches.create({ ...minimal(), completion_window: '24h', endpoint: '/v1/embeddings' });
      api.batches.create = create;
      assert.equal(calls, 3);
      assert.equal((await client.batches.list({ limit: 100 })).data.length, before + 1);
    });
  });
});
