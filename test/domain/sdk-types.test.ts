import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Batch as SdkBatch } from 'openai/resources/batches';
import type { FileObject as SdkFile } from 'openai/resources/files';
import type { Batch } from '../../src/domain/batch.ts';
import type { File } from '../../src/domain/file.ts';

/** The SDK declares as absent what the wire sends as null. */
type NullIsAbsent<T> = { [K in keyof T]: Exclude<T[K], null> };

// These lines fail to compile when a field drifts: each of ours must fit the SDK's, and none of the SDK's may be lacking.
const batchFits = (batch: NullIsAbsent<Batch>): SdkBatch => batch;
const fileFits = (file: NullIsAbsent<File>): SdkFile => file;
const lacking: Record<Exclude<keyof SdkBatch, keyof Batch> | Exclude<keyof SdkFile, keyof File>, never> = {};

describe('Batch and File', () => {
  it("are assignable to the official SDK's types, which the compiler checks", () => {
    assert.deepEqual([typeof batchFits, typeof fileFits, lacking], ['function', 'function', {}]);
  });
});
