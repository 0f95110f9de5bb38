import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addUsage, BATCH_STATUSES, isTerminal, type Usage, zeroUsage } from '../../src/domain/batch.ts';

describe('isTerminal(status)', () => {
  it('is true for the four statuses that end a batch', () => {
    assert.deepEqual(BATCH_STATUSES.filter(isTerminal), ['failed', 'completed', 'expired', 'cancelled']);
  });
});

describe('addUsage(a, b)', () => {
  const usage: Usage = {
    input_tokens: 1,
    input_tokens_details: { cached_tokens: 2 },
    output_tokens: 3,
    output_tokens_details: { reasoning_tokens: 4 },
    total_tokens: 5,
  };

  it('adds every field', () => {
    assert.deepEqual(addUsage(usage, usage), {
      input_tokens: 2,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens: 6,
      output_tokens_details: { reasoning_tokens: 8 },
      total_tokens: 10,
    });
  });

  it('changes nothing when nothing is added', () => {
    assert.deepEqual(addUsage(usage, zeroUsage()), usage);
  });
});
