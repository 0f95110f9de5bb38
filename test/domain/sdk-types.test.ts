import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Batch as SdkBatch } from 'openai/resources/batches';
import type { FileObject as SdkFile } from 'openai/resources/files';
import type { Upload as SdkUpload, UploadPart as SdkUploadPart } from 'openai/resources/uploads';
import type { Batch } from '../../src/domain/batch.ts';
import type { File } from '../../src/domain/file.ts';
import type { Upload, UploadPart } from '../../src/domain/upload.ts';

/** The SDK declares as absent what the wire sends as null. */
type NullIsAbsent<T> = { [K in keyof T]: Exclude<T[K], null> };

// These lines fail to compile when a field drifts: each of ours must fit the SDK's, and none of the SDK's may be lacking.
const batchFits = (batch: NullIsAbsent<Batch>): SdkBatch => batch;
const fileFits = (file: NullIsAbsent<File>): SdkFile => file;
const uploadFits = (upload: NullIsAbsent<Omit<Upload, 'file'>> & { file: NullIsAbsent<File> | null }): SdkUpload => upload;
const partFits = (part: UploadPart): SdkUploadPart => part;
type Lacking =
  | Exclude<keyof SdkBatch, keyof Batch>
  | Exclude<keyof SdkFile, keyof File>
  | Exclude<keyof SdkUpload, keyof Upload>
  | Exclude<keyof SdkUploadPart, keyof UploadPart>;
const lacking: Record<Lacking, never> = {};

describe('Batch, File, Upload and UploadPart', () => {
  it("are assignable to the official SDK's types, which the compiler checks", () => {
    assert.ok([batchFits, fileFits, uploadFits, partFits].every((fits) => typeof fits === 'function'));
    assert.deepEqual(lacking, {});
  });
});
