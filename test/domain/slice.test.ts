import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { firstPace, INITIAL_PACE, learn, nextLead, type Pace, shardShare, shardsHandingOut, sliceLines } from '../../src/domain/slice.ts';

const policy = { activitiesPerSecond: 100, linesPerActivity: null, maxInFlight: 256 };
const pace = (lead: number, meanUpstreamMs: number | null, batchesRunning = 1): Pace => ({ lead, meanUpstreamMs, batchesRunning });

describe('sliceLines()', () => {
  it('is smaller where more workers than shards that hand out lines wait for slices', () => {
    const linesFor = (workers: number) => sliceLines({ pace: { ...pace(512, 5), workers }, policy, shardLines: 500 });
    assert.deepEqual(
      [1, 4, 5, 8, 16].map((workers) => linesFor(workers)),
      [500, 500, 250, 250, 125],
    );
  });

  it('is one line while nothing is known', () => {
    assert.equal(sliceLines({ pace: INITIAL_PACE, policy, shardLines: 500 }), 1);
  });

  it('is one line when answers are slow enough for one activity each', () => {
    assert.equal(sliceLines({ pace: pace(512, 10_000), policy, shardLines: 500 }), 1);
    assert.equal(sliceLines({ pace: pace(128, 1000), policy: { ...policy, maxInFlight: 64 }, shardLines: 500 }), 1);
  });

  it('is as many lines as the activity budget demands when answers are fast', () => {
    assert.equal(sliceLines({ pace: pace(512, 1000), policy, shardLines: 500 }), 4);
    assert.equal(sliceLines({ pace: pace(512, 1000), policy: { ...policy, maxInFlight: 101 }, shardLines: 500 }), 2);
  });

  it('leaves the machine to the requests when these come by the thousand', () => {
    assert.equal(sliceLines({ pace: pace(512, 250), policy, shardLines: 500 }), 54);
    assert.equal(sliceLines({ pace: pace(512, 100), policy, shardLines: 500 }), 500);
  });

  it('shares the budget and the upstream with the other batches', () => {
    const lines = (batches: number) => sliceLines({ pace: { ...pace(512, 2000, batches), places: 256 }, policy, shardLines: 500 });
    assert.deepEqual([1, 5, 100].map(lines), [2, 2, 2]);
  });

  it('is for as many requests as the upstream has capacity for, which may be fewer than is configured', () => {
    const lines = (places: number) => sliceLines({ pace: { ...pace(512, 1000), places }, policy, shardLines: 500 });
    assert.deepEqual([16, 74, 128, 256, 10_000].map(lines), [1, 1, 2, 4, 4]);
  });

  it('keeps all workers together to the budget', () => {
    const lines = (workers: number, batches: number) =>
      sliceLines({ pace: { ...pace(512, 1000, batches), places: 256, workers }, policy, shardLines: 500 });
    assert.deepEqual([lines(1, 50), lines(4, 50), lines(46, 50)], [4, 13, 149]);
    assert.equal(lines(4, 1), 3, 'one batch has its own places and no more, however many workers there are');
  });

  it('does not become smaller with the lead, which shrinks where slices wait', () => {
    assert.equal(sliceLines({ pace: pace(8, 1000), policy, shardLines: 500 }), 4);
  });

  it('ends at the shard, even for answers that take no time', () => {
    assert.equal(sliceLines({ pace: pace(512, 1), policy, shardLines: 500 }), 500);
    assert.equal(sliceLines({ pace: pace(8, 0), policy, shardLines: 37 }), 37);
  });

  it('is what the policy fixes, within the shard', () => {
    assert.equal(sliceLines({ pace: pace(512, 1), policy: { ...policy, linesPerActivity: 1 }, shardLines: 500 }), 1);
    assert.equal(sliceLines({ pace: INITIAL_PACE, policy: { ...policy, linesPerActivity: 64 }, shardLines: 10 }), 10);
  });
});

describe('firstPace()', () => {
  it('begins the more modestly the more batches run', () => {
    assert.deepEqual(
      [1, 2, 4, 8, 10_000].map((batches) => firstPace({ batchesRunning: batches, maxInFlight: 256 }).lead),
      [32, 16, 8, 8, 8],
    );
    assert.equal(firstPace({ batchesRunning: 1, maxInFlight: 20 }).lead, 20);
  });

  it('takes its part of the capacity that its upstream is known to have, in few slices', () => {
    const begun = (batches: number, capacity: number) => firstPace({ batchesRunning: batches, maxInFlight: 256, capacity });
    assert.deepEqual(
      [1, 2, 20, 10_000].map((batches) => begun(batches, 256).lead),
      [256, 128, 12, 8],
    );
    assert.equal(begun(1, 16).lead, 32);
    assert.equal(begun(1, 4096).lead, 256);
    const linesOf = (pace: Pace) => sliceLines({ pace, policy: { ...policy, maxInFlight: 256 }, shardLines: 500 });
    assert.deepEqual([linesOf(begun(1, 256)), linesOf(begun(2, 256)), linesOf(begun(4, 256)), linesOf(begun(1, 16))], [8, 4, 2, 1]);
    assert.equal(linesOf({ ...begun(1, 256), meanUpstreamMs: 20_000 }), 1);
  });
});

describe('shardShare()', () => {
  it('is a part of the lead, and one slice more for the one that is ending', () => {
    assert.equal(shardShare({ lead: 512, shardsHandingOut: 3, sliceLines: 1 }), 171);
    assert.equal(shardShare({ lead: 512, shardsHandingOut: 3, sliceLines: 314 }), 484);
    assert.equal(shardShare({ lead: 1, shardsHandingOut: 4, sliceLines: 1 }), 1);
  });
});

describe('nextLead()', () => {
  it('doubles while slices start promptly, up to the most', () => {
    assert.equal(nextLead({ lead: 8, waitedMs: 2000, most: 512 }), 16);
    assert.equal(nextLead({ lead: 400, waitedMs: 0, most: 512 }), 512);
  });

  it('stays in between and halves when they wait long, down to one', () => {
    assert.equal(nextLead({ lead: 8, waitedMs: 2001, most: 512 }), 8);
    assert.equal(nextLead({ lead: 8, waitedMs: 5000, most: 512 }), 8);
    assert.equal(nextLead({ lead: 9, waitedMs: 5001, most: 512 }), 4);
    assert.equal(nextLead({ lead: 1, waitedMs: 60_000, most: 512 }), 1);
  });
});

describe('learn()', () => {
  const told = { places: 256, limit: 16, workers: 1 };
  const report = { answered: 1, meanUpstreamMs: 1000, waitedMs: 0, batchesRunning: 3, ...told };
  const given = { maxInFlight: 256, lines: 1, scheduledAtMs: 1000, nowMs: 3000 };

  it('takes the first mean as it is', () => {
    assert.deepEqual(learn(INITIAL_PACE, report, given), { ...told, lead: 16, leadSinceMs: 3000, meanUpstreamMs: 1000, batchesRunning: 3 });
  });

  it('takes the mean that the worker tells, which is of all slices that it runs', () => {
    assert.equal(learn(pace(8, 1000), { ...report, meanUpstreamMs: 2000 }, given).meanUpstreamMs, 2000);
  });

  it('keeps the mean when a slice sent nothing', () => {
    const idle = { ...report, answered: 0, meanUpstreamMs: 0, waitedMs: 9000, batchesRunning: 0 };
    assert.deepEqual(learn(pace(8, 700), idle, given), { ...told, lead: 4, leadSinceMs: 3000, meanUpstreamMs: 700, batchesRunning: 1 });
  });

  it('answers a queue that was too long once, and not once for each slice in it', () => {
    const late = { ...report, waitedMs: 9000 };
    const queue = Array.from({ length: 9 }, (_, index) => ({ ...given, nowMs: 10_000 + index * 100 }));
    assert.equal(queue.reduce((before, slice) => learn(before, late, slice), pace(512, 1000)).lead, 256);
    const once = learn(pace(512, 1000), late, { ...given, nowMs: 10_000 });
    assert.equal(learn(once, late, { ...given, scheduledAtMs: 10_000, nowMs: 20_000 }).lead, 128, 'a slice of the shorter queue');
    assert.equal(learn(once, report, { ...given, scheduledAtMs: 9000, nowMs: 20_000 }).lead, 256, 'prompt, but before the change');
    assert.equal(learn(once, report, { ...given, scheduledAtMs: 10_000, nowMs: 20_000 }).lead, 512, 'prompt, and after it');
  });

  it('leads by twice what may be in flight, and by more the more lines slices have', () => {
    const most = (lines: number) => learn(pace(100_000, 1000), report, { ...given, lines }).lead / 256;
    assert.deepEqual([1, 4, 16, 256].map(most), [2, 4, 6, 6]);
    assert.equal(learn(pace(600, 50), { ...report, meanUpstreamMs: 50 }, given).lead, 1024, 'fast answers');
  });
});

describe('shardsHandingOut()', () => {
  it('is two to four', () => {
    assert.deepEqual([1, 64, 128, 256, 10_000].map(shardsHandingOut), [2, 2, 3, 4, 4]);
  });
});
