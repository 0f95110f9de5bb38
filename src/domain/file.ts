import { idTimeMs } from './ids.ts';

/** Purposes a client may upload with; `batch_output` is made by batches only. */
export const UPLOAD_PURPOSES = ['batch', 'user_data'] as const;
export type UploadPurpose = (typeof UPLOAD_PURPOSES)[number];
export type FilePurpose = UploadPurpose | 'batch_output';

/**
 * The file as clients see it, and what the bucket holds of it: a file record is this object and never changes.
 * Timestamps are Unix seconds; `bytes` is the exact length of the content.
 */
export interface File {
  id: string;
  object: 'file';
  bytes: number;
  created_at: number;
  expires_at: number | null;
  filename: string;
  purpose: FilePurpose;
  status: 'processed';
  status_details: null;
}

/** Unicode code points of a file's name, at both endpoints that take one; file systems allow less. */
export const MAX_FILENAME_LENGTH = 1024;

/** Life of batch input and result files unless the client asks for another: 30 days, in seconds. */
export const DEFAULT_FILE_LIFE_SECONDS = 2_592_000;

/**
 * A file as a client's upload makes it. It was created when its id was made, which is when its content began to come: lists are in the
 * order of the ids, and must be in that of `created_at` as well. `lifeSeconds` null: it lives until it is deleted.
 */
export function newFile(given: Pick<File, 'id' | 'bytes' | 'filename' | 'purpose'> & { lifeSeconds: number | null }): File {
  const { id, bytes, filename, purpose, lifeSeconds } = given;
  const created_at = Math.floor(idTimeMs(id) / 1000);
  const expires_at = lifeSeconds === null ? null : created_at + lifeSeconds;
  return { id, object: 'file', bytes, created_at, expires_at, filename, purpose, status: 'processed', status_details: null };
}

/** Whether a file is gone for its readers at this time (Unix seconds): 404 from the moment of expiry. */
export function isExpired(file: File, nowSeconds: number): boolean {
  return file.expires_at !== null && nowSeconds >= file.expires_at;
}
