import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type File, isExpired, newFile } from '../../src/domain/file.ts';
import { newFileId } from '../../src/domain/ids.ts';

describe('newFile({ id, bytes, filename, purpose, lifeSeconds })', () => {
  it('was created when its id was made, and lives from then', () => {
    const given = { id: newFileId(1_700_000_000_999, 'a'.repeat(12)), bytes: 1, filename: 'x', purpose: 'batch' } as const;
    const { created_at, expires_at } = newFile({ ...given, lifeSeconds: 3600 });
    assert.deepEqual([created_at, expires_at], [1_700_000_000, 1_700_003_600]);
    assert.equal(newFile({ ...given, lifeSeconds: null }).expires_at, null);
  });
});

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
