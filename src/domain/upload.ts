import type { File, UploadPurpose } from './file.ts';

/** The statuses of an upload; only a `pending` one takes parts. */
export const UPLOAD_STATUSES = ['pending', 'completed', 'cancelled', 'expired'] as const;
export type UploadStatus = (typeof UPLOAD_STATUSES)[number];

/**
 * The upload as clients see it: a file that comes in parts. `bytes` is what the client announced; timestamps are Unix
 * seconds; `file` is set once the parts have become one.
 */
export interface Upload {
  id: string;
  object: 'upload';
  bytes: number;
  created_at: number;
  expires_at: number;
  filename: string;
  purpose: UploadPurpose;
  status: UploadStatus;
  file: File | null;
}

/** One part of an upload, as clients see it; which place it takes is said when the upload is completed. */
export interface UploadPart {
  id: string;
  object: 'upload.part';
  created_at: number;
  upload_id: string;
}

/** What the bucket holds of an upload: `upload`, whose status is never `expired` here, and for how long its file shall live (null: without end). */
export interface UploadRecord {
  upload: Upload;
  fileLifeSeconds: number | null;
}

/** An upload that is still pending so long after its creation has expired: one hour, in seconds. */
export const UPLOAD_LIFE_SECONDS = 3600;
/** Most bytes of one part: 64 MiB. */
export const MAX_UPLOAD_PART_BYTES = 64 * 1024 * 1024;
/** Most parts of one upload; at 64 MiB each they hold far more than an upload may have. */
export const MAX_UPLOAD_PARTS = 10_000;

/** The status at this time (Unix seconds): nothing writes `expired`, the clock says it. */
export function uploadStatusAt(upload: Upload, nowSeconds: number): UploadStatus {
  return upload.status === 'pending' && nowSeconds >= upload.expires_at ? 'expired' : upload.status;
}
