import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { numbers } from '../../examples/upstream/behaviour.ts';
import { createRefusalCount, type RefusalCount } from '../../src/upstream/admission/refusal-count.ts';

const refusal = { kind: 'overload', retryAfterMs: null } as const;
const answer = { kind: 'answer', ms: 6000 } as const;

/** Sends so many at once, and refuses those of these places after 20 ms; answers what was called for each. */
function burst(count: RefusalCount, nowMs: number, { size, refused }: { size: number; refused: readonly number[] }) {
  const sent = Array.from({ length: size }, () => count.sent(nowMs));
  for (const place of refused) sent[place]?.(refusal, nowMs + 20);
  return sent;
}

describe('createRefusalCount', () => {
  it('says that most are refused, and how many in a row, when all are', () => {
    const count = createRefusalCount({ memory: 12 });
    let refused = 0;
    for (let nowMs = 0; !count.isMost; nowMs += 20) {
      count.sent(nowMs)(refusal, nowMs + 20);
      refused += 1;
    }
    assert.deepEqual([refused, count.inARow], [8, 8]);
  });

  it('is not deceived by refusals that come back sooner than answers', () => {
    const count = createRefusalCount({ memory: 12 });
    const refused = [3, 9, 20, 22, 31, 40, 44, 52, 59, 63];
    burst(count, 1000, { size: 64, refused });
    assert.deepEqual([count.isMost, count.inARow], [false, 0]);
    // What has lasted for twice as long as a refusal takes is taken, although nothing was answered yet.
    count.sent(1040);
    assert.ok(count.share > 0.1 && count.share < 0.3, `${count.share}`);
    assert.equal(count.inARow, 1);
  });

  it('counts a request that was taken for taken and is refused after all', () => {
    const count = createRefusalCount({ memory: 12 });
    const slow = count.sent(0);
    count.sent(0)(refusal, 20);
    count.sent(1000)(answer, 7000);
    assert.equal(count.inARow, 0);
    slow(refusal, 8000);
    assert.equal(count.inARow, 1);
  });

  it('takes no side for what was called off or failed', () => {
    const count = createRefusalCount({ memory: 12 });
    count.sent(0)(refusal, 20);
    count.sent(30)({ kind: 'ignored' }, 40);
    count.sent(30)({ kind: 'fault', answered: true }, 40);
    assert.equal(count.inARow, 1);
    count.sent(50)({ kind: 'unavailable' }, 60);
    assert.equal(count.inARow, 2);
  });

  for (const [answerMs, refusalMs] of [
    [6000, 20],
    [100, 100],
  ] as const) {
    it(`never takes one refusal in ten for most, nor six in a row, where answers take ${answerMs} ms and refusals ${refusalMs}`, () => {
      const random = numbers(answerMs);
      const count = createRefusalCount({ memory: 12 });
      const running: { endMs: number; end: () => void }[] = [];
      let [refused, most, longest] = [0, 0, 0];
      for (let nowMs = 0; refused < 2000; nowMs += 1) {
        for (const { endMs, end } of running.splice(0)) {
          if (endMs > nowMs) running.push({ endMs, end });
          else end();
        }
        while (running.length < 64) {
          const learn = count.sent(nowMs);
          const isRefused = random() < 0.1;
          const endMs = nowMs + (isRefused ? refusalMs : answerMs * (0.5 + random()));
          const end = () => {
            learn(isRefused ? refusal : answer, endMs);
            if (!isRefused) return;
            refused += 1;
            if (count.isMost) most += 1;
            longest = Math.max(longest, count.inARow);
          };
          running.push({ endMs, end });
        }
      }
      assert.equal(most, 0);
      assert.ok(longest < 6, `${longest}`);
    });
  }

  it('lets one out at a time after most were refused, and one more together for each that is taken', () => {
    const count = createRefusalCount({ memory: 12 });
    assert.equal(count.waitMs(0), 0);
    burst(count, 0, { size: 20, refused: Array.from({ length: 20 }, (_, place) => place) });
    assert.ok(count.isMost);
    assert.equal(count.waitMs(1000), 0);
    count.sent(1000);
    assert.equal(count.waitMs(1000), 40);
    assert.equal(count.waitMs(1039), 1);
    assert.equal(count.waitMs(1040), 0);
    count.sent(1040);
    assert.equal(count.waitMs(1040), 0, 'one was taken');
    count.sent(1040);
    assert.equal(count.waitMs(1040), 40);
    assert.equal(count.waitMs(1080), 0);
    for (let sent = 0; sent < 3; sent += 1) count.sent(1080);
    assert.equal(count.waitMs(1080), 0);
    count.sent(1080);
    assert.equal(count.waitMs(1080), 40, 'two more were');
  });
});
