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

/** Life of batch input and result files unless the client asks for another: 30 days, in seconds. */
export const DEFAULT_FILE_LIFE_SECONDS = 2_592_000;

/** Whether a file is gone for its readers at this time (Unix seconds): 404 from the moment of expiry. */
export function isExpired(file: File, nowSeconds: number): boolean {
  return file.expires_at !== null && nowSeconds >= file.expires_at;
}
