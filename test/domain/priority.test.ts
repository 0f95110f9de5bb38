import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { batchPriority, isUrgent } from '../../src/domain/priority.ts';

describe('batchPriority()', () => {
  it('is what the metadata says, and 3 where it says nothing', () => {
    assert.equal(batchPriority({ nightshift_priority: '1' }), 1);
    assert.equal(batchPriority({ nightshift_priority: '5', team: 'docs' }), 5);
    assert.equal(batchPriority({ team: 'docs' }), 3);
    assert.equal(batchPriority(null), 3);
  });

  it('is 3 for a record with a value that no client can send', () => {
    assert.equal(batchPriority({ nightshift_priority: '0' }), 3);
  });
});

describe('isUrgent()', () => {
  it('holds in the last hour', () => {
    assert.equal(isUrgent(3_599_999), true);
    assert.equal(isUrgent(3_600_000), false);
  });
});
