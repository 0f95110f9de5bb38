import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chatLine, chatLines, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { slicesOut, workersOf } from './slices-out.ts';

const PER_SECOND = 10;

async function callsOf(stack: Stack): Promise<number> {
  return (await stack.upstream.calls())['counted'] ?? 0;
}

describe('NIGHTSHIFT_UPSTREAM_REQUESTS_PER_MINUTE', () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack({ env: { NIGHTSHIFT_UPSTREAM_REQUESTS_PER_MINUTE: String(PER_SECOND * 60) } });
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('holds for three workers together, and is made use of', async () => {
    const lines = 80;
    const workers = [stack.worker, await stack.startWorker(), await stack.startWorker()];
    const client = stack.client();
    const begun = performance.now();
    const created = await submit(client, chatLines(lines));
    const batch = await ended(client, created.id);
    const seconds = (performance.now() - begun) / 1000;
    assert.equal((await resultLines(client, batch.output_file_id)).length, lines);
    // A second's worth may come at once in the beginning.
    assert.ok(seconds > lines / PER_SECOND - 1.5, `${lines} lines in ${seconds} s at ${PER_SECOND} per second`);
    assert.ok(seconds < 2.5 * (lines / PER_SECOND), `${lines} lines in ${seconds} s at ${PER_SECOND} per second`);
    assert.ok((await workersOf(stack.temporal.address, created.id)).size > 1, 'more than one worker took part');
    await Promise.all(workers.map(async (worker) => await worker.stop()));
  });

  it('holds when an upstream that was away is back, for all that waited', async () => {
    const lines = 150;
    await stack.startWorker(undefined, { NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed', NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '256' });
    const client = stack.client();
    const text = Array.from({ length: lines }, (_, at) => chatLine(`line-${at + 1}`, 'marker=counted')).join('\n');
    const created = await submit(client, text);
    // The lead of a batch grows as lines come back.
    await until(async () => (await callsOf(stack)) >= 3 * PER_SECOND, { what: 'thirty calls', everyMs: 100 });
    await stack.upstream.set({ fail503: 1 });
    await until(() => stack.worker.log().includes('the upstream is unavailable'), { what: 'the gate to close', seconds: 60 });
    // Meanwhile Temporal lets ten a second go, and they gather at the gate.
    const held = async () => (await slicesOut(stack.temporal.address, created.id)).taken >= 6 * PER_SECOND;
    await until(held, { what: 'sixty lines at the gate', seconds: 60, everyMs: 500 });
    await stack.upstream.set({ fail503: 0 });
    await until(() => stack.worker.log().includes('the upstream is available again'), {
      what: 'the gate to open',
      seconds: 60,
      everyMs: 20,
    });
    const [before, since] = [await callsOf(stack), performance.now()];
    await until(() => performance.now() - since > 4_000, { what: 'four seconds', everyMs: 100 });
    const [calls, seconds] = [(await callsOf(stack)) - before, (performance.now() - since) / 1000];
    assert.ok(calls <= PER_SECOND * (seconds + 1.5), `${calls} calls in ${seconds} s at ${PER_SECOND} per second`);
    const batch = await ended(client, created.id);
    assert.deepEqual(batch.request_counts, { total: lines, completed: lines, failed: 0 });
  });
});
