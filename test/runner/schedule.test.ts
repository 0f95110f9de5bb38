import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSchedule } from './schedule.ts';

const waits = { seconds: 100, cpuSeconds: 20 };
const computes = { seconds: 50, cpuSeconds: 50 };

/** A clock that goes on by a minute each time it is read, so that what runs has started long ago. */
function minutes(): () => number {
  let nowMs = 0;
  return () => (nowMs += 60_000);
}

describe('createSchedule', () => {
  it('starts the longest file first and puts files that wait beside files that compute', () => {
    const costs = { a: computes, b: computes, c: waits, d: waits, e: computes };
    const schedule = createSchedule(['a', 'b', 'c', 'd', 'e'], costs, { cores: 2, maxFiles: 6, nowMs: minutes() });
    assert.deepEqual([schedule.next(), schedule.next(), schedule.next(), schedule.next()], ['c', 'd', 'a', null]);
    schedule.finished('c');
    schedule.finished('d');
    assert.deepEqual([schedule.next(), schedule.next()], ['b', null]);
  });

  it('runs a file that needs more cores than there are alone', () => {
    const schedule = createSchedule(
      ['wide', 'a'],
      { wide: { seconds: 60, cpuSeconds: 180 }, a: computes },
      { cores: 2, maxFiles: 6, nowMs: minutes() },
    );
    assert.deepEqual([schedule.next(), schedule.next()], ['wide', null]);
    schedule.finished('wide');
    assert.equal(schedule.next(), 'a');
  });

  it('runs no more files at a time than allowed', () => {
    const schedule = createSchedule(['c', 'd'], { c: waits, d: waits }, { cores: 2, maxFiles: 1, nowMs: minutes() });
    assert.deepEqual([schedule.next(), schedule.next()], ['c', null]);
  });

  it('lets no more files start their servers at a time than there are cores', () => {
    let nowMs = 0;
    const costs = { c: waits, d: waits, e: waits };
    const schedule = createSchedule(['c', 'd', 'e'], costs, { cores: 2, maxFiles: 6, nowMs: () => nowMs });
    assert.deepEqual([schedule.next(), schedule.next(), schedule.next()], ['c', 'd', null]);
    nowMs += 5_000;
    assert.deepEqual([schedule.next(), schedule.next()], ['e', null]);
  });
});
