import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type File, isExpired } from '../../src/domain/file.ts';

describe('isExpired(file, nowSeconds)', () => {
  const file: File = {
    id: 'file-1',
    object: 'file',
    bytes: 1,
    created_at: 1000,
    expires_at: 4600,
    filename: 'in.jsonl',
    purpose: 'batch',
    status: 'processed',
    status_details: null,
  };

  it('is true from the second of expiry on', () => {
    assert.deepEqual([isExpired(file, 4599), isExpired(file, 4600), isExpired(file, 9999)], [false, true, true]);
  });

  it('is never true for a file that does not expire', () => {
    assert.equal(isExpired({ ...file, expires_at: null }, Number.MAX_SAFE_INTEGER), false);
  });
});
