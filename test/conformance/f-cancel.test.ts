import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { chatLine, chatLines, ended, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { runPythonCases } from './python-cases.ts';
import { startRecordingProxy } from './recording-proxy.ts';
import { REDUCED } from './reduced.ts';
import { accountFor, completedLines, names, statusesOf, watch } from './story.ts';
import { assertEnvelope, json, send } from './wire.ts';

const CANCELLED = { code: 'batch_cancelled', message: 'This request was not executed because the batch was cancelled.' };

// Cancels wait for a heartbeat and a grace, so the cases wait together; the upstream has room for all their lines that hang.
// The grace is longer than what has to happen before it is over.
describe('F. Cancel', { concurrency: true }, () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    stack = await startStack({
      env: {
        NIGHTSHIFT_CANCEL_GRACE_SECONDS: String(REDUCED.cancel.graceSeconds),
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '128',
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
      },
    });
    client = stack.client();
  });
  after(async () => await stack[Symbol.asyncDispose]());

  const hanging = async (count: number) =>
    await submit(
      client,
      names('hang-', count)
        .map((id) => chatLine(id, 'mode=hang'))
        .join('\n'),
    );
  const inProgress = async ({ id }: OpenAI.Batch) =>
    await until(async () => (await client.batches.retrieve(id)).status === 'in_progress', { what: `${id} to run` });
  const lastOf = async (created: OpenAI.Batch) => {
    const seen = await watch(client, created.id);
    return { seen, batch: seen.at(-1) ?? created };
  };

  it('case 85: a batch cancelled while it is validated ends without files', async () => {
    stack.worker.child.kill('SIGSTOP');
    const created = await submit(client, chatLines(5));
    const cancelling = await client.batches.cancel(created.id);
    stack.worker.child.kill('SIGCONT');
    assert.match(cancelling.status, /^cancell(ing|ed)$/);
    assert.ok(Number.isInteger(cancelling.cancelling_at));
    const { batch } = await lastOf(created);
    assert.equal(batch.status, 'cancelled');
    assert.ok(Number.isInteger(batch.cancelled_at));
    assert.deepEqual([batch.output_file_id, batch.error_file_id, batch.in_progress_at, batch.completed_at], [null, null, null, null]);
    assert.equal(batch.request_counts?.completed, 0);
  });

  it('case 86: a batch cancelled with 4 of 8 lines done keeps the 4 and says that the others were not run', async () => {
    const ids = [...names('done-', 4), ...names('hang-', 4)];
    const created = await submit(client, ids.map((id) => chatLine(id, id.startsWith('hang') ? 'mode=hang' : undefined)).join('\n'));
    await completedLines(client, created.id, 4);
    const cancelling = await client.batches.cancel(created.id);
    assert.equal(cancelling.status, 'cancelling');
    assert.deepEqual([cancelling.output_file_id, cancelling.error_file_id], [null, null]);
    const { seen, batch } = await lastOf(created);
    assert.ok(!statusesOf(seen).includes('finalizing'));
    assert.equal(batch.status, 'cancelled');
    assert.equal(batch.finalizing_at, null);
    assert.deepEqual(batch.request_counts, { total: 8, completed: 4, failed: 0 });
    const { output, errors } = await accountFor(client, batch, ids);
    assert.deepEqual([output.length, errors.length], [4, 4]);
    for (const { response, error } of errors) assert.deepEqual({ response, error }, { response: null, error: CANCELLED });
  });

  it('case 87: what is in flight at the cancel either ends or was not run, and nothing is in both', async () => {
    const ids = [...names('soon-', 20), ...names('never-', 8), ...names('queued-', 200)];
    const script = (id: string) => (id.startsWith('never') ? 'mode=hang' : 'delay=800');
    const created = await submit(client, ids.map((id) => chatLine(id, `marker=${id}; ${script(id)}`)).join('\n'));
    await until(async () => (await stack.upstream.calls())['soon-20'], { what: 'the first lines to be in flight' });
    await client.batches.cancel(created.id);
    const { batch } = await lastOf(created);
    assert.equal(batch.status, 'cancelled');
    const { output, errors } = await accountFor(client, batch, ids);
    assert.ok(
      output.some((line) => line.custom_id.startsWith('soon-')),
      'a line that was in flight got its answer within the grace',
    );
    assert.ok(names('never-', 8).every((id) => errors.some((line) => line.custom_id === id)));
    for (const { response, error } of errors) assert.deepEqual({ response, error }, { response: null, error: CANCELLED });
  });

  it('case 88: a second cancel changes nothing', async () => {
    const created = await hanging(3);
    await inProgress(created);
    const first = await client.batches.cancel(created.id);
    const second = await client.batches.cancel(created.id);
    assert.equal(second.status, 'cancelling');
    assert.deepEqual({ ...second, request_counts: null }, { ...first, request_counts: null });
    const { batch } = await lastOf(created);
    assert.equal(batch.cancelling_at, first.cancelling_at);
    assert.deepEqual(await client.batches.cancel(created.id), batch);
  });

  it('case 89: what has ended otherwise cannot be cancelled, and the SDKs ask once', async () => {
    const batches = await Promise.all([
      submit(client, chatLines(1)),
      submit(client, `${chatLine('a')}\n{`),
      submit(client, chatLine('a', 'mode=hang'), Object({ completion_window: '4s' })),
    ]);
    await using proxy = await startRecordingProxy(stack.origin);
    const over = new OpenAI({ baseURL: proxy.baseURL, apiKey: 'key-a' });
    for (const [index, status] of ['completed', 'failed', 'expired'].entries()) {
      const { id = '' } = batches[index] ?? {};
      const before = await ended(client, id);
      assert.equal(before.status, status);
      const reply = await send(stack, `/v1/batches/${id}/cancel`, { method: 'POST' });
      const message = `Cannot cancel a batch with status '${status}'.`;
      assertEnvelope(reply, 409, { type: 'invalid_request_error', param: null, code: null, message });
      assert.equal(reply.headers.get('x-should-retry'), 'false');
      await assert.rejects(over.batches.cancel(id), OpenAI.ConflictError);
      assert.equal(proxy.seen.length, index + 1);
      assert.deepEqual(await client.batches.retrieve(id), before);
    }
    const python = await runPythonCases('f_cancel.py', { ...stack, baseURL: proxy.baseURL }, ...batches.map(({ id }) => id));
    python.assertHolds(89);
    assert.equal(proxy.seen.length, 6, 'one call of each SDK for each batch');
  });

  it('case 90: an unknown batch cannot be cancelled', async () => {
    const error = assertEnvelope(await send(stack, '/v1/batches/batch_unknown/cancel', { method: 'POST' }), 404, {
      type: 'invalid_request_error',
    });
    assert.match(error.message, /No batch found/i);
    const theirs = await submit(stack.client('key-b'), chatLines(1));
    assertEnvelope(await send(stack, `/v1/batches/${theirs.id}/cancel`, { method: 'POST' }), 404);
  });

  it('case 91: an upstream that never answers does not hold a cancel up', async () => {
    const created = await hanging(20);
    await inProgress(created);
    await client.batches.cancel(created.id);
    const began = performance.now();
    const { batch } = await lastOf(created);
    assert.equal(batch.status, 'cancelled');
    assert.ok(performance.now() - began < REDUCED.cancel.maxSeconds * 1000);
    await accountFor(client, batch, names('hang-', 20));
  });

  it('case 92: a cancel is understood with no body, with an empty JSON body and with {}', async () => {
    const type = { 'content-type': 'application/json' };
    for (const sending of [{}, { headers: type }, { headers: type, body: '{}' }]) {
      const created = await hanging(1);
      const reply = await send(stack, `/v1/batches/${created.id}/cancel`, { method: 'POST', ...sending });
      assert.equal(reply.status, 200, reply.text);
      assert.equal(json(reply)['status'], 'cancelling');
    }
    const [forNode, forPython] = [await hanging(1), await hanging(1)];
    assert.equal((await client.batches.cancel(forNode.id)).status, 'cancelling');
    (await runPythonCases('f_cancel.py', stack, forPython.id)).assertHolds(92);
  });
});
