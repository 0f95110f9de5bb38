import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRecordCounts } from '../../activities/record-counts.ts';
import { chatLines } from '../helpers/lines.ts';
import { until } from '../helpers/until.ts';
import { run, type Stage, type StagedBatch, startStage } from './stage.ts';

const TIMES = { settleMs: 20, everyMs: 200 };

describe('createRecordCounts', () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage();
  });
  after(async () => await stage[Symbol.asyncDispose]());

  const completedOf = async (batch: StagedBatch) => (await stage.record(batch)).request_counts.completed;
  const showing = async (batch: StagedBatch, count: number) =>
    await until(async () => (await completedOf(batch)) === count, { what: `the record to show ${count} completed`, everyMs: 5 });

  /** A worker whose Temporal answers `completed` for every batch. */
  function worker(draining = new AbortController().signal) {
    const temporal = { completed: 0, asked: new Array<string>(), atATime: 0, most: 0 };
    const progress = async (batchId: string) => {
      temporal.asked.push(batchId);
      temporal.atATime += 1;
      temporal.most = Math.max(temporal.most, temporal.atATime);
      await delay(5);
      temporal.atATime -= 1;
      return { completed: temporal.completed, failed: 0 };
    };
    const counts = createRecordCounts({ ...stage.deps, draining, runs: { ...stage.deps.runs, progress } }, TIMES);
    return { counts, temporal };
  }

  it('saves the counts of a batch that no client reads, once for many results', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts, temporal } = worker();
    for (let result = 0; result < 100; result++) counts.changed(batch);
    temporal.completed = 4;
    await showing(batch, 4);
    assert.equal(temporal.asked.length, 1);
  });

  it('saves results that come after a save, no sooner than the interval allows, and nothing where nothing changes', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts, temporal } = worker();
    temporal.completed = 1;
    counts.changed(batch);
    await showing(batch, 1);
    const startedMs = performance.now();
    temporal.completed = 2;
    counts.changed(batch);
    await showing(batch, 2);
    assert.ok(performance.now() - startedMs >= TIMES.everyMs / 2, `saved again after ${performance.now() - startedMs} ms`);
    await delay(2 * TIMES.everyMs);
    assert.equal(temporal.asked.length, 2);
  });

  it('never lowers a count, and asks Temporal nothing about a batch that has ended', async () => {
    const [batch, ended] = [await stage.begin(chatLines(9)), await stage.submit(chatLines(1))];
    await run(stage.worker().saveBatch, { ...ended, to: 'cancelling', counts: null });
    await run(stage.worker().saveBatch, { ...ended, to: 'cancelled', counts: null });
    const { counts, temporal } = worker();
    temporal.completed = 5;
    counts.changed(batch);
    await showing(batch, 5);
    temporal.completed = 3;
    counts.changed(ended);
    counts.changed(batch);
    await until(() => temporal.asked.length === 2, { what: 'a second save', everyMs: 5 });
    await delay(TIMES.settleMs);
    assert.equal(await completedOf(batch), 5);
    assert.deepEqual(new Set(temporal.asked), new Set([batch.batchId]));
  });

  it('saves two batches at a time, however many have results, and none once the worker drains', async () => {
    const batches = await Promise.all(Array.from({ length: 6 }, async () => await stage.begin(chatLines(2))));
    const drain = new AbortController();
    const { counts, temporal } = worker(drain.signal);
    temporal.completed = 1;
    for (const batch of batches) counts.changed(batch);
    for (const batch of batches) await showing(batch, 1);
    assert.equal(temporal.most, 2);
    const { length } = temporal.asked;
    for (const batch of batches) counts.changed(batch);
    drain.abort();
    await delay(2 * TIMES.everyMs);
    assert.equal(temporal.asked.length, length);
  });
});
