import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addOutcome, addTallies, countTally, emptyTally, uniteTallies } from '../../src/domain/shard-tally.ts';

function tallyOf({ completed = [], failed = [] }: { completed?: number[]; failed?: number[] }) {
  const tally = emptyTally();
  for (const line of completed) addOutcome(tally, line, 'completed');
  for (const line of failed) addOutcome(tally, line, 'failed');
  return tally;
}

describe('shard tallies', () => {
  it('count each line once, however often and in whatever order workers tell it', () => {
    const some = tallyOf({ completed: [0, 7, 8, 999], failed: [500] });
    const others = tallyOf({ completed: [7, 9], failed: [500, 501] });
    assert.deepEqual(countTally(some), { completed: 4, failed: 1 });
    for (const both of [uniteTallies(some, others), uniteTallies(others, uniteTallies(some, others))]) {
      assert.deepEqual(countTally(both), { completed: 5, failed: 2 });
    }
    assert.deepEqual(countTally(uniteTallies(emptyTally(), some)), { completed: 4, failed: 1 });
  });

  it('count a line that failed and was answered as completed, as its shard will', () => {
    assert.deepEqual(countTally(tallyOf({ completed: [3, 8], failed: [3, 4] })), { completed: 2, failed: 1 });
  });

  it('know whether an outcome is new, wherever in the input their shard is', () => {
    const tally = emptyTally();
    const first = 5_999_501;
    const news = [first, first, first + 498, first + 499, first + 999].map((line) => addOutcome(tally, line, 'completed'));
    assert.deepEqual(news, [true, false, true, true, true]);
    assert.deepEqual(countTally(tally), { completed: 4, failed: 0 });
  });

  it('add to the counts of closed shards those of shards that are not closed', () => {
    const tallies = new Map([0, 2, 5, 7].map((shard) => [shard, tallyOf({ completed: [1, 2], failed: [3] })]));
    const closed = { completed: 100, failed: 10 };
    assert.deepEqual(addTallies({ ...closed, unclosed: [] }, tallies), closed);
    const ranges: [number, number][] = [
      [2, 2],
      [6, 9],
    ];
    assert.deepEqual(addTallies({ ...closed, unclosed: ranges }, tallies), { completed: 104, failed: 12 });
  });
});
