import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Upload, uploadStatusAt } from '../../src/domain/upload.ts';

const upload: Upload = {
  id: 'upload_1',
  object: 'upload',
  bytes: 1,
  created_at: 0,
  expires_at: 3600,
  filename: 'a',
  purpose: 'batch',
  status: 'pending',
  file: null,
};

describe('uploadStatusAt()', () => {
  it('says that a pending upload has expired from the second on in which it does', () => {
    assert.deepEqual([uploadStatusAt(upload, 3599), uploadStatusAt(upload, 3600)], ['pending', 'expired']);
  });

  it('lets an upload that has ended stay what it is', () => {
    for (const status of ['completed', 'cancelled'] as const) assert.equal(uploadStatusAt({ ...upload, status }, 9999), status);
  });
});
