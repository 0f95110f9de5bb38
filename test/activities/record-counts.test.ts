import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRecordCounts } from '../../activities/record-counts.ts';
import type { Progress } from '../../workflows/contract.ts';
import { chatLines } from '../helpers/lines.ts';
import { until } from '../helpers/until.ts';
import { run, type Stage, type StagedBatch, startStage } from './stage.ts';

const TIMES = { settleMs: 20, perBatchMs: 0, leastMs: 50, mostMs: 50, saveMs: 200, lookMs: 2_000, reportMs: 10_000 };
const SHARD = 0;

describe('createRecordCounts', () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage();
  });
  after(async () => await stage[Symbol.asyncDispose]());

  const completedOf = async (batch: StagedBatch) => (await stage.record(batch)).request_counts.completed;
  const showing = async (batch: StagedBatch, count: number) =>
    await until(async () => (await completedOf(batch)) === count, { what: `the record to show ${count} completed`, everyMs: 5 });

  /** A worker whose Temporal answers the same for every batch, and whose writes of tallies are counted. */
  function worker({ draining = new AbortController().signal, times = TIMES } = {}) {
    const progress: Progress = { completed: 0, failed: 0, unclosed: [[0, 0]] };
    const temporal = { progress, asked: new Array<string>(), told: 0, atATime: 0, most: 0 };
    const runs = {
      ...stage.deps.runs,
      progress: async (batchId: string) => {
        temporal.asked.push(batchId);
        temporal.atATime += 1;
        temporal.most = Math.max(temporal.most, temporal.atATime);
        await delay(20);
        temporal.atATime -= 1;
        return temporal.progress;
      },
    };
    const { batches } = stage.deps;
    const add: typeof batches.tallies.add = async (...given) => {
      temporal.told += 1;
      return await batches.tallies.add(...given);
    };
    const watched = { ...batches, tallies: { ...batches.tallies, add } };
    const counts = createRecordCounts({ ...stage.deps, draining, runs, batches: watched }, times);
    return { counts, temporal };
  }

  it('tells and saves the lines of a batch that no client reads, once for many results', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts, temporal } = worker();
    using shard = counts.enter(batch, SHARD);
    for (let line = 1; line <= 4; line++) shard.add(line, 'completed');
    await showing(batch, 4);
    assert.deepEqual([temporal.asked.length, temporal.told], [1, 1]);
  });

  it('adds up what several workers tell and what the workflow has of closed shards, with one query each', async () => {
    const batch = await stage.begin(chatLines(9));
    const [one, two] = [worker(), worker()];
    using first = one.counts.enter(batch, SHARD);
    first.add(1, 'completed');
    first.add(2, 'failed');
    await showing(batch, 1);
    two.temporal.progress = { completed: 3, failed: 0, unclosed: [[0, 0]] };
    using second = two.counts.enter(batch, SHARD);
    second.add(1, 'completed');
    second.add(3, 'completed');
    await showing(batch, 5);
    assert.equal((await stage.record(batch)).request_counts.failed, 1);
  });

  it('saves later results no sooner than the interval allows, tells them before, and does nothing where nothing changes', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts, temporal } = worker();
    using shard = counts.enter(batch, SHARD);
    shard.add(1, 'completed');
    await showing(batch, 1);
    const startedMs = performance.now();
    shard.add(2, 'completed');
    await until(() => temporal.told === 2, { what: 'the second line to be told', everyMs: 5 });
    assert.equal(temporal.asked.length, 1);
    await showing(batch, 2);
    assert.ok(performance.now() - startedMs >= TIMES.saveMs / 2, `saved again after ${performance.now() - startedMs} ms`);
    shard.add(2, 'completed');
    await delay(2 * TIMES.saveMs);
    assert.deepEqual([temporal.asked.length, temporal.told], [2, 2]);
  });

  it('saves for a slice without results too, as those of a lost worker may not be in the record', async () => {
    const batch = await stage.begin(chatLines(9));
    const lost = worker({ times: { ...TIMES, saveMs: 60_000 } });
    using first = lost.counts.enter(batch, SHARD);
    await until(() => lost.temporal.asked.length === 1, { what: 'the first save', everyMs: 5 });
    first.add(1, 'completed');
    await until(() => lost.temporal.told === 1, { what: 'a line to be told and not saved', everyMs: 5 });
    using _ = worker().counts.enter(batch, SHARD);
    await showing(batch, 1);
  });

  it('reports what lines wait for and why they failed, again when a reason begins, and nothing once no slice runs', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts, temporal } = worker({ times: { ...TIMES, lookMs: 30 } });
    const failure = { status: 400, code: 'bad', message: 'Too long.' };
    const away = { reason: 'upstream_away', upstream: 'gpu', serverSays: 'refused', sinceMs: 1, lines: 3 } as const;
    const facts = { inFlight: 1, waiting: new Array<typeof away>() };
    const told = async () => await stage.deps.batches.tallies.readAll(batch.batchId);
    {
      using shard = counts.enter(batch, SHARD);
      shard.watch(() => facts);
      shard.add(2, 'failed', { failure, customId: 'line-2' });
      await until(async () => (await told()).reports[0]?.inFlight === 1, { what: 'the first report', everyMs: 5 });
      facts.waiting.push(away);
      await until(async () => (await told()).reports[0]?.waiting.length === 1, { what: 'the reason to be told', everyMs: 5 });
    }
    const { reports, tallies } = await told();
    assert.deepEqual(reports[0]?.waiting, [away]);
    const [tally] = tallies.values();
    assert.deepEqual(
      [...(tally?.failures.values() ?? [])].map((group) => [group.failure, group.examples]),
      [[failure, [{ line: 2, customId: 'line-2' }]]],
    );
    const before = temporal.told;
    await delay(200);
    assert.equal(temporal.told, before);
  });

  it('tells results no more often while it looks at what lines wait for', async () => {
    const batch = await stage.begin(chatLines(99));
    const { counts, temporal } = worker({ times: { ...TIMES, lookMs: 20, leastMs: 400, mostMs: 400, saveMs: 60_000 } });
    using shard = counts.enter(batch, SHARD);
    shard.watch(() => ({ inFlight: 1, waiting: [] }));
    const beganMs = performance.now();
    for (let line = 1; performance.now() - beganMs < 1_500; line += 1) {
      shard.add(line, 'completed');
      await delay(20);
    }
    const most = Math.ceil((performance.now() - beganMs) / 400) + 1;
    assert.ok(temporal.told >= 2 && temporal.told <= most, `told ${temporal.told} times, at most ${most}`);
  });

  it('counts lines that end here for the rate, and none that are found in pieces', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts } = worker({ times: { ...TIMES, lookMs: 30, reportMs: 30 } });
    using shard = counts.enter(batch, SHARD);
    shard.watch(() => ({ inFlight: 1, waiting: [] }));
    const rate = async () => (await stage.deps.batches.tallies.readAll(batch.batchId)).reports[0]?.linesPerSecond;
    for (let line = 1; line <= 5; line += 1) shard.add(line, 'completed');
    await until(async () => (await rate()) !== undefined, { what: 'the first report', everyMs: 5 });
    assert.equal(await rate(), 0);
    shard.ended();
    await until(async () => ((await rate()) ?? 0) > 0, { what: 'the rate', everyMs: 5 });
  });

  it('removes shards from the tallies that the workflow calls closed, and counts them no more', async () => {
    const batch = await stage.begin(chatLines(9));
    const { counts, temporal } = worker();
    using shard = counts.enter(batch, SHARD);
    shard.add(1, 'completed');
    await showing(batch, 1);
    temporal.progress = { completed: 5, failed: 0, unclosed: [[1, 1]] };
    using next = counts.enter(batch, 1);
    next.add(10, 'completed');
    await showing(batch, 6);
    next.add(11, 'completed');
    await showing(batch, 7);
    assert.deepEqual([...(await stage.deps.batches.tallies.read(batch.batchId)).keys()], [1]);
  });

  it('tells again what the bucket did not take', async () => {
    const batch = await stage.begin(chatLines(9));
    let refusals = 2;
    const { batches } = stage.deps;
    const add: typeof batches.tallies.add = async (...given) => {
      if (refusals-- > 0) throw new Error('the bucket is away');
      return await batches.tallies.add(...given);
    };
    const runs = { ...stage.deps.runs, progress: async (): Promise<Progress> => ({ completed: 0, failed: 0, unclosed: [[0, 0]] }) };
    const counts = createRecordCounts({ ...stage.deps, runs, batches: { ...batches, tallies: { ...batches.tallies, add } } }, TIMES);
    using shard = counts.enter(batch, SHARD);
    shard.add(1, 'completed');
    await showing(batch, 1);
    assert.equal(refusals, -1);
  });

  it('never lowers a count, and writes nothing of a batch that has ended', async () => {
    const [batch, ended] = [await stage.begin(chatLines(9)), await stage.submit(chatLines(1))];
    await run(stage.worker().saveBatch, { ...ended, to: 'cancelling', counts: null });
    await run(stage.worker().saveBatch, { ...ended, to: 'cancelled', counts: null });
    const { counts, temporal } = worker();
    temporal.progress = { completed: 5, failed: 0, unclosed: [] };
    using shard = counts.enter(batch, SHARD);
    await showing(batch, 5);
    temporal.progress = { completed: 3, failed: 0, unclosed: [] };
    using ofEnded = counts.enter(ended, SHARD);
    ofEnded.add(1, 'completed');
    shard.add(1, 'completed');
    await until(() => temporal.asked.length === 2, { what: 'a second save', everyMs: 5 });
    await delay(TIMES.settleMs);
    assert.equal(await completedOf(batch), 5);
    assert.deepEqual([new Set(temporal.asked), temporal.told], [new Set([batch.batchId]), 1]);
  });

  it('writes for two batches at a time, and when the worker drains tells at once and saves nothing', async () => {
    const batches = await Promise.all(Array.from({ length: 6 }, async () => await stage.begin(chatLines(9))));
    const drain = new AbortController();
    const { counts, temporal } = worker({ draining: drain.signal, times: { ...TIMES, leastMs: 60_000, mostMs: 60_000, saveMs: 60_000 } });
    const shards = batches.map((batch) => counts.enter(batch, SHARD));
    for (const shard of shards) shard.add(1, 'completed');
    for (const batch of batches) await showing(batch, 1);
    assert.equal(temporal.most, 2);
    const { length } = temporal.asked;
    for (const shard of shards) shard.add(2, 'completed');
    await delay(2 * TIMES.settleMs);
    assert.equal(temporal.told, 6);
    drain.abort();
    for (const shard of shards) shard[Symbol.dispose]();
    await until(() => temporal.told === 12, { what: 'all to be told', everyMs: 5 });
    await delay(5 * TIMES.settleMs);
    assert.deepEqual([temporal.told, temporal.asked.length], [12, length]);
  });
});
