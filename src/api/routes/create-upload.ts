import { newUploadId } from '../../domain/ids.ts';
import type { Limits } from '../../domain/limits.ts';
import { type Upload, UPLOAD_LIFE_SECONDS } from '../../domain/upload.ts';
import type { UploadStore } from '../../storage/upload-store.ts';
import { type Route, sendJson, tenantOf } from '../context.ts';
import { readJsonBody } from '../json-body.ts';
import { readUploadRequest } from '../upload-request.ts';
import type { BodyPace } from '../request-body.ts';

interface Deps {
  uploads: UploadStore;
  limits: Limits;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
}

/** `POST /v1/uploads`: announces a file that will come in parts. */
export function createUpload({ uploads, limits, bodyPace, nowMs, randomHex }: Deps): Route {
  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const { value } = await readJsonBody(ctx.req, bodyPace);
    const { bytes, filename, purpose, fileLifeSeconds } = readUploadRequest(value, limits);
    const createdMs = nowMs();
    const created_at = Math.floor(createdMs / 1000);
    const upload: Upload = {
      id: newUploadId(createdMs, randomHex(10)),
      object: 'upload',
      bytes,
      created_at,
      expires_at: created_at + UPLOAD_LIFE_SECONDS,
      filename,
      purpose,
      status: 'pending',
      file: null,
    };
    await uploads.create(tenant, { upload, fileLifeSeconds });
    sendJson(ctx, upload);
  };
}
