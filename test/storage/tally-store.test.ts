import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { addOutcome, countTally, emptyTally, type ShardTally, type Tallies } from '../../src/domain/shard-tally.ts';
import { createTallyStore, type TallyStore } from '../../src/storage/tally-store.ts';
import { collect, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
let tallies: TallyStore;
before(async () => {
  bucket = await startTestBucket();
  tallies = createTallyStore(bucket.store);
});
after(async () => await bucket[Symbol.asyncDispose]());

function tellOf(...completed: number[]): ShardTally {
  const tally = emptyTally();
  for (const place of completed) addOutcome(tally, place, 'completed');
  return tally;
}
const told = (shard: number, ...completed: number[]): Tallies => new Map([[shard, tellOf(...completed)]]);
const countsOf = (found: Tallies) => Object.fromEntries([...found].map(([shard, tally]) => [shard, countTally(tally).completed]));

describe('createTallyStore', () => {
  it('unites what workers tell at the same time, in one object per batch', async () => {
    const added = Array.from({ length: 8 }, async (_, at) => await tallies.add('batch_a', told(at % 2, at, 900, 999), []));
    await Promise.all(added);
    assert.deepEqual(countsOf(await tallies.read('batch_a')), { 0: 6, 1: 6 });
    assert.equal((await collect(bucket.store.list('work/batch_a/'))).length, 1);
    assert.deepEqual(countsOf(await tallies.read('batch_unknown')), {});
  });

  it('adds the failures of a closed shard once, and keeps the last report of each worker beside the lines', async () => {
    const group = { status: 400, code: 'bad', message: 'Too long.', lines: 2, example: 'a', custom_ids: ['a', 'b'] };
    await Promise.all([1, 1, 4].map(async (shard) => await tallies.addClosed('batch_f', shard, [group])));
    const report = { worker: 'w', atMs: 1_000_000, inFlight: 1, linesPerSecond: 2, waiting: [] };
    await tallies.add('batch_f', told(5, 1), [], report);
    await tallies.add('batch_f', told(5, 2), [], { ...report, inFlight: 3 });
    await tallies.freeze('batch_f', 5);
    await tallies.addClosed('batch_f', 4, [group]);
    const { closed, reports, tallies: lines } = await tallies.readAll('batch_f');
    assert.deepEqual(closed.shards, [
      [1, 1],
      [4, 4],
    ]);
    assert.deepEqual(
      closed.failures.map((each) => each.lines),
      [4],
    );
    assert.deepEqual([countsOf(lines), reports], [{ 5: 2 }, [{ ...report, inFlight: 3 }]]);
  });

  it('removes closed shards, and answers what stands', async () => {
    await tallies.add('batch_b', told(0, 1, 2), []);
    await tallies.add('batch_b', told(1, 1), []);
    assert.deepEqual(countsOf(await tallies.add('batch_b', told(2, 5), [0])), { 1: 1, 2: 1 });
    assert.deepEqual(countsOf(await tallies.read('batch_b')), { 1: 1, 2: 1 });
  });

  it('adds nothing to a frozen shard until it is thawed, and goes on with the others', async () => {
    await tallies.add('batch_c', told(0, 1), []);
    await tallies.freeze('batch_c', 0);
    await tallies.freeze('batch_c', 3);
    await tallies.add('batch_c', new Map([...told(0, 2), ...told(1, 7), ...told(3, 8)]), []);
    assert.deepEqual(countsOf(await tallies.read('batch_c')), { 0: 1, 1: 1, 3: 0 });
    await tallies.thaw('batch_c', 0);
    await tallies.add('batch_c', told(0, 2), []);
    assert.deepEqual(countsOf(await tallies.read('batch_c')), { 0: 2, 1: 1, 3: 0 });
  });

  it('writes nothing to freeze a shard of a batch that no worker has told anything of', async () => {
    await tallies.freeze('batch_d', 0);
    assert.equal((await collect(bucket.store.list('work/batch_d/'))).length, 0);
  });
});
