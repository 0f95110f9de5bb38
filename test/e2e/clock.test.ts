import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { createSettableClock, type SettableClock } from '../helpers/settable-clock.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const LINES = 64;
/** As far as a bucket bears: it refuses requests signed a quarter of an hour away from its own time. */
const TEN_MINUTES_MS = 600_000;
const HOUR_MS = 3_600_000;

describe('a wall clock that is set while batches run', () => {
  let stack: Stack;
  let client: OpenAI;
  let apiClock: SettableClock;
  let workerClock: SettableClock;
  before(async () => {
    [apiClock, workerClock] = [await createSettableClock(), await createSettableClock()];
    stack = await startStack({
      env: {
        ...apiClock.env,
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '8',
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '4',
        NIGHTSHIFT_COMPLETION_WINDOWS: '24h,5m',
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '5',
      },
      upstream: ['--latency', '100'],
    });
    await stack.worker.stop();
    await stack.startWorker(undefined, workerClock.env);
    client = stack.client();
  });
  afterEach(() => {
    apiClock.set(0);
    workerClock.set(0);
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await Promise.all([apiClock[Symbol.asyncDispose](), workerClock[Symbol.asyncDispose]()]);
  });

  /** Eight seconds of work at least, so that the batch still runs when a clock is set. */
  async function begin(name: string, { window = '24h', delayMs = 1_000, priority = '3' } = {}): Promise<{ id: string; ids: string[] }> {
    const ids = Array.from({ length: LINES }, (_, index) => `${name}-${index + 1}`);
    const text = ids.map((id) => chatLine(id, `marker=${id}; delay=${delayMs}`)).join('\n');
    const { id } = await submit(client, text, Object({ completion_window: window, metadata: { nightshift_priority: priority } }));
    await completed(id, 8);
    return { id, ids };
  }

  /** While the batch runs: the counts of one that has ended are no news. */
  async function completed(id: string, atLeast: number): Promise<void> {
    const isSeen = async () => {
      const { status, request_counts } = await client.batches.retrieve(id);
      assert.ok(status === 'validating' || status === 'in_progress', status);
      return (request_counts?.completed ?? 0) >= atLeast;
    };
    await until(isSeen, { what: `${atLeast} answers` });
  }

  async function assertWhole({ id, ids }: { id: string; ids: string[] }): Promise<OpenAI.Batch> {
    const batch = await ended(client, id);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: LINES, completed: LINES, failed: 0 }]);
    assert.deepEqual(
      (await resultLines(client, batch.output_file_id)).map((line) => line.custom_id),
      ids,
    );
    const calls = await stack.upstream.calls();
    assert.deepEqual([...new Set(ids.map((each) => calls[each]))], [1], 'nothing is sent twice');
    const times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at].map(Number);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
      'no timestamp is below one that was there',
    );
    return batch;
  }

  for (const [way, ms] of [
    ['forward', TEN_MINUTES_MS],
    ['back', -TEN_MINUTES_MS],
  ] as const) {
    it(`a worker's, ${way} by ten minutes: the batch goes on, and its window does not end early`, async () => {
      const running = await begin(`worker-${way}`, { window: '5m' });
      workerClock.set(ms);
      await assertWhole(running);
    });

    it(`that of the API, ${way} by ten minutes: counts go on, lists are whole, cancels are heard, and nothing expires`, async () => {
      // It gives way to the other, so that it is still there when its cancel comes.
      const cancelled = await begin(`cancelled-${way}`, { delayMs: 2_000, priority: '5' });
      const running = await begin(`api-${way}`, { window: '5m', delayMs: 1_250 });
      apiClock.set(ms);
      const seen = Number((await client.batches.retrieve(running.id)).request_counts?.completed);
      assert.ok(seen < LINES - 16);
      await completed(running.id, seen + 8);
      const cancelling = await client.batches.cancel(cancelled.id);
      assert.equal(cancelling.status, 'cancelling');
      assert.ok(Number(cancelling.cancelling_at) >= Number(cancelling.in_progress_at));
      const later = await submit(client, chatLine(`later-${way}`));
      await assertWhole(running);
      assert.equal((await ended(client, cancelled.id)).status, 'cancelled');
      assert.equal((await ended(client, later.id)).status, 'completed');
      const listed: string[] = [];
      for await (const { id } of client.batches.list({ limit: 2 })) listed.push(id);
      assert.equal(new Set(listed).size, listed.length);
      for (const id of [running.id, cancelled.id, later.id]) assert.ok(listed.includes(id));
    });
  }

  it('by an hour: the bucket refuses what is signed so, everything waits, and goes on when the clock is right', async () => {
    const running = await begin('hour');
    workerClock.set(HOUR_MS);
    await until(() => stack.worker.log().includes('RequestTimeTooSkewed'), { what: 'the bucket to refuse the worker' });
    apiClock.set(-HOUR_MS);
    const answer = await until(
      async () => {
        const tried = await fetch(`${stack.baseURL}/batches/${running.id}`, { headers: { authorization: 'Bearer key-a' } });
        await tried.arrayBuffer();
        return tried.status === 503 ? tried : null;
      },
      { what: 'the bucket to refuse the API' },
    );
    assert.equal(answer.headers.get('retry-after'), '5');
    apiClock.set(0);
    await until(async () => (await fetch(`${stack.origin}/ready`)).ok, { what: 'the API to be ready again' });
    assert.equal((await client.batches.retrieve(running.id)).status, 'in_progress');
    workerClock.set(0);
    await assertWhole(running);
  });
});
