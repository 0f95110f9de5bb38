import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRefusalCount, type RefusalCount } from '../../src/upstream/admission/refusal-count.ts';

const refusal = { kind: 'overload', retryAfterMs: null } as const;
const answer = { kind: 'answer', ms: 6000 } as const;

const of = ({ counted, refused }: RefusalCount) => ({ counted, refused });

describe('createRefusalCount', () => {
  it('is not deceived by refusals that come back sooner than answers', () => {
    const count = createRefusalCount();
    const sent = Array.from({ length: 64 }, () => count.sent(1000));
    for (const place of [3, 9, 20, 63]) sent[place]?.(refusal, 1020);
    assert.deepEqual(of(count), { counted: 0, refused: 0 });
    // What has lasted for twice as long as a refusal takes is taken, although nothing was answered yet.
    count.sent(1040);
    assert.deepEqual(of(count), { counted: 64, refused: 4 });
  });

  it('counts a request that was taken for taken and is refused after all', () => {
    const count = createRefusalCount();
    const slow = count.sent(0);
    count.sent(0)(refusal, 20);
    count.sent(1000)(answer, 7000);
    assert.deepEqual(of(count), { counted: 3, refused: 1 });
    slow(refusal, 8000);
    assert.equal(count.refused, 2);
  });

  it('counts a connection that is not accepted as refused, and what failed or was called off as taken', () => {
    const count = createRefusalCount();
    count.sent(0)({ kind: 'unavailable' }, 10);
    count.sent(20)({ kind: 'ignored' }, 40);
    count.sent(40)({ kind: 'fault', answered: true }, 60);
    assert.deepEqual(of(count), { counted: 3, refused: 1 });
  });
});
