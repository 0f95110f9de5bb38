import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  idTimeMs,
  isBatchId,
  isFileId,
  isUploadId,
  newBatchId,
  newFileId,
  newResultLineId,
  newUploadId,
  newUploadPartId,
} from '../../src/domain/ids.ts';

const random = '0123456789abcdef0123456789abcdef';

describe('newBatchId(), newFileId(), newUploadId(), newUploadPartId(), newResultLineId()', () => {
  it('make ids of the shapes that clients and keys expect', () => {
    assert.equal(newBatchId(0, random), 'batch_ffffffffffff0123456789abcdef0123');
    assert.equal(newFileId(1, random), 'file-fffffffffffe0123456789ab');
    assert.equal(newUploadId(0, random), 'upload_ffffffffffff0123456789abcdef0123');
    assert.equal(newUploadPartId(1, random), 'part_fffffffffffe0123456789abcdef0123');
    assert.ok(isUploadId(newUploadId(0, random)) && !isUploadId(newUploadPartId(0, random)));
    assert.equal(newResultLineId(random), `batch_req_${random}`);
  });

  it('sort newest first and keep their time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), fc.integer({ min: 1, max: 2 ** 40 }), (nowMs, laterMs) => {
        const [older, newer] = [newBatchId(nowMs, random), newBatchId(nowMs + laterMs, random)];
        assert.ok(newer < older);
        assert.ok(isBatchId(older) && isBatchId(newer));
        assert.equal(idTimeMs(older), nowMs);
        assert.equal(idTimeMs(newFileId(nowMs, random)), nowMs);
        assert.equal(idTimeMs(newUploadId(nowMs, random)), nowMs);
      }),
    );
  });

  it('refuse too little or no randomness', () => {
    assert.throws(() => newBatchId(0, 'abc'), RangeError);
    assert.throws(() => newFileId(0, 'zzzzzzzzzzzz'), RangeError);
  });
});

describe('isBatchId(), isFileId()', () => {
  it('accept exactly the shapes that are made', () => {
    assert.equal(isFileId(newFileId(Date.UTC(2026, 0), random)), true);
    assert.equal(isBatchId(newFileId(0, random)), false);
    assert.equal(isFileId(newBatchId(0, random)), false);
  });

  it('refuse whatever could lead a key astray', () => {
    const id = newFileId(0, random);
    const strange = [
      '',
      '..',
      '../x',
      `${id}/..`,
      `${id}\n`,
      `${id}\0`,
      `${id}%00`,
      id.toUpperCase(),
      ` ${id}`,
      `${id}0`,
      id.slice(1),
      id.replace('0', '٠'),
    ];
    for (const text of strange) {
      assert.equal(isFileId(text), false, JSON.stringify(text));
      assert.equal(isBatchId(text.replace('file-', 'batch_')), false, JSON.stringify(text));
    }
  });
});
