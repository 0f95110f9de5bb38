import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { accountFor, completedLines, names, statusesOf, watch } from './story.ts';

const EXPIRED = { code: 'batch_expired', message: 'This request could not be executed before the completion window expired.' };

/**
 * Few enough that a batch of hanging lines saturates the upstream, and room for all lines of every other case: an activity
 * for each of them may reach the worker in any order, and one that answers must not wait behind those that hang.
 */
const IN_FLIGHT = 10;
/** Temporal waits 8 s for a heartbeat of a killed worker; then the shards have to be closed. */
const PROMPT_SECONDS = 25;

describe('G. Expiry', () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    stack = await startStack({
      env: {
        NIGHTSHIFT_COMPLETION_WINDOWS: '24h,8s,12s,16s',
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(IN_FLIGHT),
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
      },
    });
    client = stack.client();
    // A worker that is still starting would eat into the windows.
    await ended(client, (await submit(client, chatLine('warm-up'))).id);
  });
  after(async () => await stack[Symbol.asyncDispose]());

  const submitFor = async (window: string, lines: readonly string[]) =>
    await submit(client, lines.join('\n'), Object({ completion_window: window }));

  it('case 93: a window that ends with 1 of 10 lines done keeps the one', async () => {
    const ids = ['done', ...names('hang-', 9)];
    const created = await submitFor(
      '12s',
      ids.map((id) => chatLine(id, id === 'done' ? undefined : 'mode=hang')),
    );
    assert.equal(created.completion_window, '12s');
    assert.equal(created.expires_at, created.created_at + 12);
    const seen = await watch(client, created.id);
    const batch = seen.at(-1) ?? created;
    assert.equal(batch.status, 'expired');
    assert.ok(!statusesOf(seen).includes('finalizing'));
    assert.ok(Number(batch.expired_at) >= Number(batch.expires_at));
    assert.deepEqual([batch.completed_at, batch.finalizing_at, batch.cancelled_at, batch.failed_at], [null, null, null, null]);
    assert.deepEqual(batch.request_counts, { total: 10, completed: 1, failed: 0 });
    const { output, errors } = await accountFor(client, batch, ids);
    assert.deepEqual([output.length, errors.length], [1, 9]);
    for (const { response, error } of errors) assert.deepEqual({ response, error }, { response: null, error: EXPIRED });
  });

  it('case 94: a window that ends with nothing done leaves an error file only', async () => {
    const ids = names('hang-', 10);
    const created = await submitFor(
      '8s',
      ids.map((id) => chatLine(id, 'mode=hang')),
    );
    const batch = await ended(client, created.id);
    assert.equal(batch.status, 'expired');
    assert.equal(batch.output_file_id, null);
    const { errors } = await accountFor(client, batch, ids);
    assert.equal(errors.length, 10);
  });

  it(
    'case 95: a batch whose window ended while the service was down expires soon after, with what was done',
    { timeout: 300_000 },
    async () => {
      const ids = [...names('done-', 5), ...names('hang-', 5)];
      const created = await submitFor(
        '16s',
        ids.map((id) => chatLine(id, id.startsWith('hang') ? 'mode=hang' : undefined)),
      );
      await completedLines(client, created.id, 5);
      await Promise.all([stack.worker.stop('SIGKILL'), stack.api.stop('SIGKILL')]);
      await until(() => Date.now() > Number(created.expires_at) * 1000 + 1000, { what: 'the window to end' });
      await Promise.all([stack.startApi(), stack.startWorker()]);
      const began = performance.now();
      const batch = await ended(client, created.id, 180);
      const seconds = (performance.now() - began) / 1000;
      assert.ok(seconds < PROMPT_SECONDS, `it took ${Math.round(seconds)} s`);
      assert.equal(batch.status, 'expired');
      assert.deepEqual(batch.request_counts, { total: 10, completed: 5, failed: 0 });
      const { errors } = await accountFor(client, batch, ids);
      for (const { response, error } of errors) assert.deepEqual({ response, error }, { response: null, error: EXPIRED });
    },
  );

  it('case 96: a batch that expired frees its quota and its places upstream, and its file can be used again', async () => {
    const ids = names('second-', IN_FLIGHT);
    // An API that lets a tenant have one open batch; nothing else of this tenant runs.
    const limited = await stack.startAnotherApi({ NIGHTSHIFT_TENANT_MAX_OPEN_BATCHES: '1' });
    const options = { baseURL: `${limited.origin}/v1`, maxRetries: 0 };
    const client = stack.client('key-b').withOptions(options);
    const first = await submit(
      client,
      ids.map((id) => chatLine(id, `marker=${id}; mode=hang,ok`)).join('\n'),
      Object({ completion_window: '8s' }),
    );
    await assert.rejects(submit(client, chatLine('one too many')), { status: 429 });
    assert.equal((await ended(client, first.id)).status, 'expired');
    const calls = await stack.upstream.calls();
    assert.deepEqual(
      ids.map((id) => [id, calls[id]]),
      ids.map((id) => [id, 1]),
      'the upstream was saturated',
    );
    const again = await client.batches.create({
      input_file_id: first.input_file_id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    const batch = await ended(client, again.id);
    assert.deepEqual(batch.request_counts, { total: IN_FLIGHT, completed: IN_FLIGHT, failed: 0 });
    await accountFor(client, batch, ids);
  });
});
