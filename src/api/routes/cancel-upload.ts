import { isUploadId } from '../../domain/ids.ts';
import { type UploadRecord, uploadStatusAt } from '../../domain/upload.ts';
import { uploadNotFound } from '../errors/upload-errors.ts';
import type { UploadStore } from '../../storage/upload-store.ts';
import { type Logger, pathParam, type Route, sendJson, tenantOf } from '../context.ts';
import { assertPending } from '../pending-upload.ts';

interface Deps {
  uploads: UploadStore;
  nowMs: () => number;
  logger: Logger;
}

/** `POST /v1/uploads/{id}/cancel`: ends an upload and removes its parts; whatever body comes is ignored. */
export function cancelUpload({ uploads, nowMs, logger }: Deps): Route {
  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const id = pathParam(ctx, 'id');
    const record = isUploadId(id) ? await uploads.update(tenant, id, cancel) : null;
    if (record === null) throw uploadNotFound(id);
    if (record.upload.status !== 'cancelled') assertPending(record, nowMs(), 'cancel');
    await uploads
      .removeParts(tenant, id)
      .catch((err: unknown) => logger.warn({ upload: id, err }, 'parts could not be removed; the sweep will'));
    sendJson(ctx, record.upload);
  };

  function cancel(found: UploadRecord): UploadRecord | null {
    if (uploadStatusAt(found.upload, Math.floor(nowMs() / 1000)) !== 'pending') return null;
    return { ...found, upload: { ...found.upload, status: 'cancelled' } };
  }
}
