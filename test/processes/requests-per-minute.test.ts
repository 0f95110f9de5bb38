import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { slicesOut, workersOf } from './slices-out.ts';

const PER_SECOND = 10;

async function callsOf(stack: Stack): Promise<number> {
  return (await stack.upstream.calls())['counted'] ?? 0;
}

function counted(lines: number): string {
  return Array.from({ length: lines }, (_, at) => chatLine(`line-${at + 1}`, 'marker=counted')).join('\n');
}

describe('NIGHTSHIFT_UPSTREAM_REQUESTS_PER_MINUTE', () => {
  let stack: Stack;
  before(async () => {
    const env = {
      NIGHTSHIFT_UPSTREAM_REQUESTS_PER_MINUTE: String(PER_SECOND * 60),
      NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
      NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '256',
    };
    stack = await startStack({ env });
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('holds for three workers together, and is made use of', async () => {
    const lines = 80;
    const workers = [stack.worker, await stack.startWorker(), await stack.startWorker()];
    const client = stack.client();
    const begun = performance.now();
    const created = await submit(client, counted(lines));
    const seen: { at: number; calls: number }[] = [];
    const look = async () => void seen.push({ calls: await callsOf(stack), at: (performance.now() - begun) / 1000 });
    await until(async () => (await look(), seen.at(-1)?.calls === lines), { what: 'all calls', seconds: 120, everyMs: 100 });
    const seconds = seen.at(-1)?.at ?? 0;
    const batch = await ended(client, created.id);
    assert.equal((await resultLines(client, batch.output_file_id)).length, lines);
    // A second's worth may come at once in the beginning.
    assert.ok(seconds > lines / PER_SECOND - 1.5, `${lines} lines in ${seconds} s at ${PER_SECOND} per second`);
    // After it the best two seconds show what the three workers make of it, however busy the machine is in between.
    const later = seen.filter(({ calls }) => calls > PER_SECOND);
    const rates = later.flatMap((from) =>
      later.filter((to) => to.at - from.at >= 2).map((to) => (to.calls - from.calls) / (to.at - from.at)),
    );
    assert.ok(Math.max(...rates) > 0.6 * PER_SECOND, `at most ${Math.max(...rates)} calls per second`);
    assert.ok((await workersOf(stack.temporal.address, created.id)).size > 1, 'more than one worker took part');
    await Promise.all(workers.slice(0, -1).map(async (worker) => await worker.stop()));
  });

  it('holds when an upstream that was away is back, for all that waited', async () => {
    const lines = 150;
    const client = stack.client();
    const callsBefore = await callsOf(stack);
    const created = await submit(client, counted(lines));
    // The lead of a batch grows as lines come back.
    await until(async () => (await callsOf(stack)) - callsBefore >= 3 * PER_SECOND, { what: 'thirty calls', everyMs: 100 });
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
