import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const LINES = 600;
let stack: Stack;

before(async () => {
  // 20 answers a second: what is handed out of a large batch waits in Temporal's queue.
  const env = { NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '4', NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed', NIGHTSHIFT_LINES_PER_ACTIVITY: '1' };
  stack = await startStack({ env, upstream: ['--latency', '200'] });
});
after(async () => await stack[Symbol.asyncDispose]());

describe('batches of one line behind a large one', () => {
  it('go by tenant and by priority, and not by who came first', { timeout: 180_000 }, async () => {
    const [a, b] = [stack.client('key-a'), stack.client('key-b')];
    const large = await submit(a, Array.from({ length: LINES }, (_, line) => chatLine(`line-${line}`)).join('\n'));
    await until(async () => ((await a.batches.retrieve(large.id)).request_counts?.completed ?? 0) > 8, { what: 'the large batch to run' });
    const one = chatLine('one');
    const last = await submit(a, one, { metadata: { nightshift_priority: '5' } });
    const [first, others] = await Promise.all([submit(a, one, { metadata: { nightshift_priority: '1' } }), submit(b, one)]);
    await Promise.all([ended(a, first.id), ended(b, others.id)]);
    const [largeNow, lastNow] = await Promise.all([a.batches.retrieve(large.id), a.batches.retrieve(last.id)]);
    const { completed = 0 } = largeNow.request_counts ?? {};
    assert.ok(completed < LINES / 2, `${completed} of ${LINES} lines of the large batch came before`);
    assert.equal(lastNow.status, 'in_progress', 'the least urgent one, which came before both');
    assert.equal((await ended(a, large.id)).request_counts?.completed, LINES);
    assert.equal((await ended(a, last.id)).status, 'completed');
  });
});
