import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { bucketOf } from './bucket.ts';
import { type PythonCases, runPythonCases } from './python-cases.ts';
import { startRecordingProxy } from './recording-proxy.ts';
import { REDUCED } from './reduced.ts';
import { assertEnvelope, json, send, upload } from './wire.ts';

describe('A. Transport and envelope', () => {
  let stack: Stack;
  let python: PythonCases;
  before(async () => {
    stack = await startStack({ withWorker: false });
    python = await runPythonCases('a_transport.py', stack);
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('case 1: no key or a wrong key is 401 with the envelope', async () => {
    for (const path of ['/v1/files', '/v1/batches', '/v1/batches/batch_x', '/v1/nope']) {
      assertEnvelope(await send(stack, path, { key: null }), 401, { type: 'invalid_request_error', param: null, code: 'invalid_api_key' });
      assertEnvelope(await send(stack, path, { key: 'key-nobody' }), 401, { type: 'invalid_request_error', code: 'invalid_api_key' });
    }
    for (const [method, path] of [
      ['POST', '/v1/files'],
      ['POST', '/v1/batches'],
      ['POST', '/v1/batches/batch_x/cancel'],
      ['POST', '/v1/uploads'],
      ['DELETE', '/v1/files/file-x'],
    ] as const) {
      assertEnvelope(await send(stack, path, { method, key: 'key-nobody' }), 401, { code: 'invalid_api_key' });
    }
    const client = stack.client('key-nobody');
    await assert.rejects(client.batches.list(), OpenAI.AuthenticationError);
  });

  it('case 2: an unknown route is 404 with the envelope', async () => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      assertEnvelope(await send(stack, '/v1/nope', { method }), 404, { type: 'invalid_request_error', param: null, code: null });
    }
    assertEnvelope(await send(stack, '/v1/fine_tuning/jobs', { method: 'POST', body: {} }), 404);
  });

  it('case 3: a trailing slash is 404, never a list', async () => {
    for (const path of ['/v1/batches/', '/v1/files/']) assertEnvelope(await send(stack, path), 404, { type: 'invalid_request_error' });
    await assert.rejects(async () => await stack.client().batches.retrieve(''), OpenAI.OpenAIError);
  });

  it('case 4: an empty file id before /content is 404', async () => {
    assertEnvelope(await send(stack, '/v1/files//content'), 404, { type: 'invalid_request_error' });
  });

  it('case 5: a create with half a JSON body is 400 with the envelope', async () => {
    const headers = { 'content-type': 'application/json' };
    const error = assertEnvelope(await send(stack, '/v1/batches', { method: 'POST', headers, body: '{' }), 400, {
      type: 'invalid_request_error',
    });
    assert.doesNotMatch(error.message, /position|Unexpected|SyntaxError/);
  });

  it('case 6: a create with JSON that is no object is 400 with the envelope', async () => {
    const headers = { 'content-type': 'application/json' };
    for (const body of ['[]', '"x"', 'null']) {
      assertEnvelope(await send(stack, '/v1/batches', { method: 'POST', headers, body }), 400, { type: 'invalid_request_error' });
    }
  });

  it('case 7: every reply has a request id of its own, which the SDKs show', async () => {
    const seen = new Set<string | null>();
    const paths = ['/v1/files', '/v1/batches', '/v1/nope', '/v1/batches/x', '/v1/files/x/content', '/v1/batches?limit=0'];
    for (const path of paths) seen.add((await send(stack, path)).headers.get('x-request-id'));
    seen.add((await send(stack, '/v1/files', { key: null })).headers.get('x-request-id'));
    seen.add((await upload(stack, { purpose: 'batch' }, '{}\n')).headers.get('x-request-id'));
    assert.equal(seen.size, paths.length + 2);
    assert.ok(!seen.has(null) && !seen.has(''));

    const client = stack.client();
    const { response, request_id } = await client.batches.list().withResponse();
    assert.equal(request_id, response.headers.get('x-request-id'));
    await assert.rejects(
      client.batches.retrieve('batch_unknown'),
      (error) => error instanceof OpenAI.NotFoundError && Boolean(error.requestID),
    );
    python.assertHolds(7);
  });

  it('case 8: organisation, project and x-stainless headers change nothing', async () => {
    const plain = await send(stack, '/v1/files');
    const headers = Object.fromEntries(
      ['lang', 'package-version', 'os', 'arch', 'runtime', 'runtime-version', 'async', 'retry-count', 'read-timeout', 'timeout'].map(
        (name) => [`x-stainless-${name}`, name === 'retry-count' ? '0' : 'x'],
      ),
    );
    const decorated = await send(stack, '/v1/files', {
      headers: { ...headers, 'openai-organization': 'org-x', 'openai-project': 'proj-x', 'sec-fetch-mode': 'cors', 'accept-language': '*' },
    });
    assert.equal(decorated.status, 200);
    assert.deepEqual(json(decorated), json(plain));
    const body = { input_file_id: 'file-x', endpoint: '/v1/chat/completions', completion_window: '24h' };
    const created = await send(stack, '/v1/batches', { method: 'POST', body, headers: { ...headers, 'openai-organization': 'org-x' } });
    assert.equal(created.status, 200);
  });

  it('case 9: a fault of the server is 500 without a stack trace, and the SDK tries twice more', async () => {
    const id = `batch_${'0'.repeat(31)}1`;
    // A record of a shape that no part of the house writes.
    await bucketOf(stack).write(`batches/tenant-a/${id}`, '{}');
    await using proxy = await startRecordingProxy(stack.origin);
    const client = new OpenAI({ baseURL: proxy.baseURL, apiKey: 'key-a' });
    await assert.rejects(client.batches.retrieve(id), (error) => error instanceof OpenAI.InternalServerError && error.status === 500);
    assert.deepEqual(
      proxy.seen.map(({ status, headers }) => [status, headers['x-stainless-retry-count']]),
      [
        [500, '0'],
        [500, '1'],
        [500, '2'],
      ],
    );
    assert.equal((await send(stack, '/v1/batches')).status, 200, 'the list goes on without it');
    const error = assertEnvelope(await send(stack, `/v1/batches/${id}`), 500, { type: 'server_error' });
    assert.doesNotMatch(error.message, /\bat |\.ts|JSON|batches\//);
  });

  it('case 10: a reply over the limit is 429 with a retry-after of at most 60, which the SDK waits out', async () => {
    // So few that the next one, ten seconds later, does not come between the first refusal and those that follow.
    await using limited = await stack.startAnotherApi({ NIGHTSHIFT_TENANT_REQUESTS_PER_MINUTE: String(REDUCED.requestsPerMinute) });
    await using proxy = await startRecordingProxy(limited.origin);
    const usedUp = await until(
      async () => {
        const reply = await send(limited, '/v1/batches');
        return reply.status === 429 ? reply : null;
      },
      { what: 'the limit', everyMs: 0 },
    );
    assertEnvelope(usedUp, 429, { type: 'rate_limit_error', param: null, code: 'rate_limit_exceeded' });
    const seconds = Number(usedUp.headers.get('retry-after'));
    assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, String(seconds));

    await assert.rejects(
      new OpenAI({ baseURL: `${limited.origin}/v1`, apiKey: 'key-a', maxRetries: 0 }).batches.list(),
      (error) => error instanceof OpenAI.RateLimitError && error.status === 429,
    );
    await new OpenAI({ baseURL: proxy.baseURL, apiKey: 'key-a' }).batches.list();
    assert.deepEqual(
      proxy.seen.map(({ status }) => status),
      [429, 200],
    );
    assert.equal((await send(limited, '/v1/batches', { key: 'key-b' })).status, 200);
    assert.equal((await send(stack, '/v1/batches')).status, 200);
  });
});
