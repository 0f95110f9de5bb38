import type { Batch as SdkBatch } from 'openai/resources/batches';
import type { FileObject as SdkFile } from 'openai/resources/files';
import type { Upload as SdkUpload, UploadPart as SdkUploadPart } from 'openai/resources/uploads';
import type { Batch } from '../../src/domain/batch.ts';
import type { File } from '../../src/domain/file.ts';
import type { Upload, UploadPart } from '../../src/domain/upload.ts';

/** The SDK declares as absent what the wire sends as null. */
type NullIsAbsent<T> = { [K in keyof T]: Exclude<T[K], null> };

// No test runs this file. `npm run check` compiles it, and fails when a field drifts: each of ours must fit the SDK's, and none of
// the SDK's may be lacking.
export const batchFits = (batch: NullIsAbsent<Batch>): SdkBatch => batch;
export const fileFits = (file: NullIsAbsent<File>): SdkFile => file;
export const uploadFits = (upload: NullIsAbsent<Omit<Upload, 'file'>> & { file: NullIsAbsent<File> | null }): SdkUpload => upload;
export const partFits = (part: UploadPart): SdkUploadPart => part;
type Lacking =
  | Exclude<keyof SdkBatch, keyof Batch>
  | Exclude<keyof SdkFile, keyof File>
  | Exclude<keyof SdkUpload, keyof Upload>
  | Exclude<keyof SdkUploadPart, keyof UploadPart>;
export const lacking: Record<Lacking, never> = {};
