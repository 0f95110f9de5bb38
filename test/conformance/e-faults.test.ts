import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts';
import { REDUCED } from './reduced.ts';
import { accountFor, names } from './story.ts';
import { send } from './wire.ts';

/** Requests that an upstream shared by two models serves at a time. */
const SHARED_IN_FLIGHT = 4;
/** Refusals end no request by default. */
const MAX_REFUSALS = 4;

// Most of their time is backoff, and every case has an upstream of its own, so they run side by side.
describe('E. Execution and results: upstreams that fail', { concurrency: true }, () => {
  let folder: string;
  let upstream: ScriptedUpstream;
  let latePort: number;
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nightshift-upstreams-'));
    upstream = await startScriptedUpstream();
    latePort = await freePort();
    // Five tries take more than three minutes.
    const base = { base_urls: [`${upstream.url}/v1`], request_timeout_seconds: 1, max_faults: REDUCED.maxFaults };
    const upstreams = [
      { ...base, name: 'here', models: ['example-model'] },
      { ...base, name: 'busy', models: ['busy-model'], request_timeout_seconds: 300, max_refusals: MAX_REFUSALS },
      { ...base, name: 'narrow', models: ['narrow-model'], max_in_flight: 2, request_timeout_seconds: 300 },
      { ...base, name: 'wide', models: ['wide-model'], request_timeout_seconds: 300 },
      { ...base, name: 'shared', models: ['x-model', 'y-model'], max_in_flight: SHARED_IN_FLIGHT, request_timeout_seconds: 300 },
      { ...base, name: 'late', models: ['late-model'], base_urls: [`http://127.0.0.1:${latePort}/v1`] },
      { ...base, name: 'gone', models: ['gone-model'], base_urls: [`http://127.0.0.1:${await freePort()}/v1`], unavailable_max_seconds: 2 },
    ];
    await writeFile(join(folder, 'upstreams.json'), JSON.stringify(upstreams));
    stack = await startStack({
      env: {
        NIGHTSHIFT_UPSTREAM_URL: '',
        NIGHTSHIFT_UPSTREAMS_FILE: join(folder, 'upstreams.json'),
        // The large batch goes out in larger slices, which cost the machine less.
        NIGHTSHIFT_ACTIVITIES_PER_SECOND: '20',
      },
    });
    client = stack.client();
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (lines: readonly string[], seconds = 180) => await ended(client, (await submit(client, lines.join('\n'))).id, seconds);
  const lineFor = (model: string, id: string, user = id) => chatLine(id, user).replace('example-model', model);

  it('case 71: refusals and 5xx are tried again, and the last answer is the outcome when the attempts are used up', async () => {
    const overloaded = '{"error":{"message":"Overloaded, the last time."}}';
    upstream.on('twice-71', (call) => (call <= 2 ? { status: 429, headers: { 'retry-after': '1' } } : {}));
    upstream.on('flaky-71', (call) => (call === 1 ? { status: 500 } : {}));
    upstream.on('refused-71', (call) => ({
      status: 429,
      headers: { 'retry-after-ms': '20' },
      body: `{"error":{"message":"Busy ${call}."}}`,
    }));
    upstream.on('broken-71', () => ({ status: 500, body: overloaded }));
    const ids = ['twice', 'flaky', 'refused', 'broken'];
    const batch = await run(ids.map((id) => lineFor('busy-model', id, `${id}-71`)));
    assert.equal(batch.status, 'completed');
    const { output, errors } = await accountFor(client, batch, ids);
    assert.deepEqual(
      output.map((line) => line.custom_id),
      ['twice', 'flaky'],
    );
    assert.deepEqual(
      errors.map(({ response, error }) => [response?.status_code, response?.body, error]),
      [
        [429, { error: { message: `Busy ${MAX_REFUSALS}.` } }, null],
        [500, JSON.parse(overloaded), null],
      ],
    );
    const calls = ids.map((id) => upstream.callsOf(`${id}-71`));
    assert.deepEqual(
      calls.map((each) => each.length),
      [3, 2, MAX_REFUSALS, REDUCED.maxFaults],
    );
    for (const each of calls) assert.equal(new Set(each.map(({ headers }) => headers['idempotency-key'])).size, 1);
  });

  it('case 72: no answer at all ends as an error of its own, and an upstream that is away is waited for', async () => {
    upstream.on('hang-72', () => ({ hangs: true }));
    const late = await submit(
      client,
      names('late-', 3)
        .map((id) => lineFor('late-model', id))
        .join('\n'),
    );
    const [hung, gone] = await Promise.all([
      run([chatLine('good'), chatLine('hang', 'hang-72')]),
      run(names('gone-', 3).map((id) => lineFor('gone-model', id))),
    ]);
    const { errors: timeouts } = await accountFor(client, hung, ['good', 'hang']);
    assert.deepEqual(
      timeouts.map(({ custom_id, response, error }) => [custom_id, response, error?.code]),
      [['hang', null, 'request_timeout']],
    );
    assert.equal(upstream.callsOf('hang-72').length, REDUCED.maxFaults);
    assert.equal(gone.status, 'completed');
    const { errors: refused } = await accountFor(client, gone, names('gone-', 3));
    assert.deepEqual(
      refused.map(({ response, error }) => [response, error?.code]),
      Array.from({ length: 3 }, () => [null, 'connection_error']),
    );
    for (const { error } of [...timeouts, ...refused]) assert.ok(error?.message);

    const waiting = await until(
      async () => {
        const found = await client.batches.retrieve(late.id);
        return found.status === 'validating' ? null : found;
      },
      { what: 'the late batch to be validated' },
    );
    assert.equal(waiting.status, 'in_progress');
    assert.deepEqual(waiting.request_counts, { total: 3, completed: 0, failed: 0 });
    await using _back = await startScriptedUpstream(latePort);
    const batch = await ended(client, late.id);
    assert.deepEqual(batch.request_counts, { total: 3, completed: 3, failed: 0 });
  });

  it('case 73: answers that are no JSON object become error lines, and no other line suffers', async () => {
    const html = '<html><body>502 Bad Gateway</body></html>';
    upstream.on('empty', () => ({ body: '' }));
    upstream.on('text', () => ({ body: 'OK', headers: { 'content-type': 'text/plain' } }));
    upstream.on('array', () => ({ body: '[1]' }));
    upstream.on('half', () => ({ body: '{"id":"x","choices":[' }));
    upstream.on('no-content', () => ({ status: 204, body: '' }));
    upstream.on('redirect', () => ({ status: 307, headers: { location: '/v1/elsewhere' }, body: '' }));
    upstream.on('html', () => ({ status: 502, headers: { 'content-type': 'text/html' }, body: html }));
    upstream.on('long', () => ({ status: 400, body: 'x'.repeat(5000) }));
    const ids = ['good-1', 'empty', 'text', 'array', 'half', 'no-content', 'redirect', 'html', 'long', 'good-2'];
    const batch = await run(ids.map((id) => chatLine(id, id)));
    const { output, errors } = await accountFor(client, batch, ids);
    assert.deepEqual(
      output.map((line) => line.custom_id),
      ['good-1', 'good-2'],
    );
    for (const { custom_id, response, error } of errors.slice(0, 6)) {
      assert.deepEqual([response, error?.code], [null, 'invalid_response'], custom_id);
    }
    const bodyOf = (message: string) => ({ error: { message, type: 'upstream_error', param: null, code: null } });
    assert.deepEqual(
      errors.slice(6).map(({ response, error }) => [response?.status_code, response?.body, error]),
      [
        [502, bodyOf(html), null],
        [400, bodyOf('x'.repeat(2000)), null],
      ],
    );
    assert.equal(upstream.calls.filter(({ path }) => path.includes('elsewhere')).length, 0, 'a redirect is never followed');
  });

  it('case 84: neither a saturated model nor a large batch ahead holds a small batch up', { timeout: 300_000 }, async () => {
    upstream.on('saturating-84', () => ({ hangs: true }));
    // 256 in flight at most: the large batch takes more than a minute, and is cancelled long before.
    upstream.on('slow-84', () => ({ delayMs: 2000 }));
    const saturating = await submit(
      client,
      names('a-', 200)
        .map((id) => lineFor('narrow-model', id, 'saturating-84'))
        .join('\n'),
    );
    await until(() => upstream.callsOf('saturating-84').length === 2, { what: 'the model to be saturated' });
    const large = await submit(
      client,
      names('b-', REDUCED.linesAhead)
        .map((id) => lineFor('wide-model', id, 'slow-84'))
        .join('\n'),
    );
    await until(async () => ((await client.batches.retrieve(large.id)).request_counts?.completed ?? 0) > 0, {
      what: 'a first answer',
      seconds: 120,
    });
    // One upstream for two models: batch A of the one keeps it full for a minute and more, in which B of the other ends.
    upstream.on('shared-84', () => ({ delayMs: 1000 }));
    const sharing = await submit(
      client,
      names('x-', 80 * SHARED_IN_FLIGHT)
        .map((id) => lineFor('x-model', id, 'shared-84'))
        .join('\n'),
    );
    await until(() => upstream.callsOf('shared-84').length >= 2 * SHARED_IN_FLIGHT, { what: 'the shared upstream to be full' });
    const small = await Promise.all(['wide-model', 'y-model'].map(async (model) => await run([lineFor(model, 'only')], 60)));
    for (const { request_counts } of small) assert.deepEqual(request_counts, { total: 1, completed: 1, failed: 0 });
    for (const { id } of [saturating, large, sharing]) {
      const { status, request_counts } = await client.batches.retrieve(id);
      assert.equal(status, 'in_progress');
      assert.ok((request_counts?.completed ?? 0) < (request_counts?.total ?? 0));
      assert.equal((await send(stack, `/v1/batches/${id}/cancel`, { method: 'POST' })).status, 200);
    }
  });
});
