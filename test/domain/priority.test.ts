import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allowedPriorities, batchPriority, urgentFromMs } from '../../src/domain/priority.ts';

const HOUR_MS = 3_600_000;

describe('batchPriority()', () => {
  it('is what the metadata says, and 3 where it says nothing', () => {
    assert.equal(batchPriority({ nightshift_priority: '1' }, 1), 1);
    assert.equal(batchPriority({ nightshift_priority: '5', team: 'docs' }, 1), 5);
    assert.equal(batchPriority({ team: 'docs' }, 1), 3);
    assert.equal(batchPriority(null, 1), 3);
  });

  it('is never better than the tenant may ask for', () => {
    assert.equal(batchPriority({ nightshift_priority: '1' }, 3), 3);
    assert.equal(batchPriority({ nightshift_priority: '4' }, 3), 4);
    assert.equal(batchPriority(null, 5), 5);
  });

  it('is 3 for a record with a value that no client can send', () => {
    assert.equal(batchPriority({ nightshift_priority: '0' }, 1), 3);
  });
});

describe('allowedPriorities()', () => {
  it('are the best one and all that are less urgent', () => {
    assert.deepEqual(allowedPriorities(3), ['3', '4', '5']);
    assert.deepEqual(allowedPriorities(1), ['1', '2', '3', '4', '5']);
  });
});

describe('urgentFromMs()', () => {
  const beforeTheEnd = (windowMs: number) => windowMs - urgentFromMs({ createdAtMs: 0, expiresAtMs: windowMs });

  it('is the last hour of a long window', () => {
    assert.equal(beforeTheEnd(24 * HOUR_MS), HOUR_MS);
    assert.equal(beforeTheEnd(10 * HOUR_MS), HOUR_MS);
  });

  it('is the last tenth of a short one', () => {
    assert.equal(beforeTheEnd(HOUR_MS), HOUR_MS / 10);
    assert.equal(beforeTheEnd(5 * HOUR_MS), HOUR_MS / 2);
    assert.equal(beforeTheEnd(4_000), 400);
  });

  it('is the end where a record has an end before its creation', () => {
    assert.equal(urgentFromMs({ createdAtMs: 10, expiresAtMs: 5 }), 5);
  });
});
