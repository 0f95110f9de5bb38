import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NOTHING_PAUSED, withoutPauseOf, withPause } from '../../src/domain/upstream-pauses.ts';

describe('the pauses of upstreams', () => {
  it('keep the time of the first of two pauses, and change nothing that is so already', () => {
    const once = withPause(NOTHING_PAUSED, 'gpu', 1);
    assert.ok(once);
    assert.equal(withPause(once, 'gpu', 2), null);
    assert.deepEqual(withPause(once, null, 3), { all: 3, upstreams: { gpu: 1 } });
    assert.deepEqual([withoutPauseOf(once, null), withoutPauseOf(once, 'other'), withoutPauseOf(once, 'constructor')], [null, null, null]);
    assert.deepEqual(withoutPauseOf(once, 'gpu'), NOTHING_PAUSED);
  });
});
