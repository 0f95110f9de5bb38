import { isUploadId } from '../domain/ids.ts';
import { type UploadRecord, uploadStatusAt } from '../domain/upload.ts';
import { uploadNotFound, uploadNotPending } from './errors/upload-errors.ts';
import type { UploadStore } from '../storage/upload-store.ts';

/** The record of an upload of this tenant. Throws the 404. */
export async function findUpload(uploads: UploadStore, tenant: string, id: string): Promise<UploadRecord> {
  const found = isUploadId(id) ? await uploads.get(tenant, id) : null;
  if (found === null) throw uploadNotFound(id);
  return found;
}

/** Throws the 409 unless the upload is pending at this time; `what` says what was asked for, such as `complete`. */
export function assertPending({ upload }: UploadRecord, nowMs: number, what: string): void {
  const status = uploadStatusAt(upload, Math.floor(nowMs / 1000));
  if (status !== 'pending') throw uploadNotPending(what, status);
}
