import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newBatch } from '../../src/domain/new-batch.ts';

describe('newBatch()', () => {
  it('is the batch of the create reply, every key present', () => {
    const batch = newBatch({
      id: 'batch_1',
      endpoint: '/v1/embeddings',
      inputFileId: 'file-1',
      completionWindow: '24h',
      windowMs: 86_400_000,
      metadata: { a: 'b' },
      nowSeconds: 1_700_000_000,
    });
    assert.deepEqual(batch, {
      id: 'batch_1',
      object: 'batch',
      endpoint: '/v1/embeddings',
      model: null,
      errors: null,
      input_file_id: 'file-1',
      completion_window: '24h',
      status: 'validating',
      output_file_id: null,
      error_file_id: null,
      created_at: 1_700_000_000,
      in_progress_at: null,
      expires_at: 1_700_086_400,
      finalizing_at: null,
      completed_at: null,
      failed_at: null,
      expired_at: null,
      cancelling_at: null,
      cancelled_at: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      usage: {
        input_tokens: 0,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 0,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 0,
      },
      metadata: { a: 'b' },
    });
  });

  it('rounds a window of a fraction of a second up', () => {
    const given = { id: 'b', endpoint: 'e', inputFileId: 'f', completionWindow: '1500ms', metadata: null, nowSeconds: 10 };
    assert.equal(newBatch({ ...given, windowMs: 1500 }).expires_at, 12);
  });
});
