import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAnswerTime } from '../../src/domain/answer-time.ts';

function clocked() {
  let nowMs = 1_000_000;
  return { time: createAnswerTime({ monotonicMs: () => nowMs }), pass: (ms: number) => void (nowMs += ms) };
}

describe('createAnswerTime', () => {
  it('knows nothing before the first answer', () => {
    const { time, pass } = clocked();
    time.begin();
    pass(500);
    time.end(false);
    assert.equal(time.meanMs, null);
  });

  it('is the time of an answer where all take the same', () => {
    const { time, pass } = clocked();
    for (let round = 0; round < 5; round++) {
      for (let request = 0; request < 10; request++) time.begin();
      pass(50);
      for (let request = 0; request < 10; request++) time.end(true);
    }
    assert.ok(Math.abs((time.meanMs ?? 0) - 50) < 2, `${time.meanMs}`);
  });

  it('takes quick first answers for what they are: few of many', () => {
    const { time, pass } = clocked();
    for (let request = 0; request < 10; request++) time.begin();
    pass(100);
    time.end(true);
    assert.ok((time.meanMs ?? 0) > 900, 'nine others have taken as long already');
    pass(900);
    for (let request = 0; request < 9; request++) time.end(true);
    assert.ok(Math.abs((time.meanMs ?? 0) - 910) < 20, `${time.meanMs}`);
  });

  it('forgets how it was', () => {
    const { time, pass } = clocked();
    const answer = (ms: number) => (time.begin(), pass(ms), time.end(true));
    for (let count = 0; count < 100; count++) answer(10_000);
    for (let count = 0; count < 4000; count++) answer(50);
    assert.ok((time.meanMs ?? 0) < 60, `${time.meanMs}`);
  });
});
