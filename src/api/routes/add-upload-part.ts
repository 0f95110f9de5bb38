import { missingParameter } from '../errors/parameter-errors.ts';
import { newUploadPartId } from '../../domain/ids.ts';
import type { Limits } from '../../domain/limits.ts';
import { MAX_UPLOAD_PART_BYTES, MAX_UPLOAD_PARTS, type UploadPart } from '../../domain/upload.ts';
import { uploadFull, uploadNotFound, uploadPartTooLarge } from '../errors/upload-errors.ts';
import type { ContentWriter } from '../../storage/file-store.ts';
import type { UploadStore } from '../../storage/upload-store.ts';
import { type Logger, pathParam, type Route, sendJson, tenantOf } from '../context.ts';
import { dropHalfContent } from '../drop-half-content.ts';
import { readForm } from '../multipart.ts';
import { assertPending, findUpload } from '../pending-upload.ts';
import { type BodyPace, BodyTooLarge } from '../request-body.ts';

interface Deps {
  uploads: UploadStore;
  limits: Limits;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/** What a form may have around its one part: boundaries, headers. */
const FORM_BYTES = 64 * 1024;
const ASKED = 'add a part to';

/** `POST /v1/uploads/{id}/parts`: any number at a time, in any order, of any size up to 64 MiB. */
export function addUploadPart({ uploads, limits, bodyPace, nowMs, randomHex, logger }: Deps): Route {
  const maxPartBytes = Math.min(MAX_UPLOAD_PART_BYTES, limits.maxUploadBytes);
  const bounds = { maxBytes: maxPartBytes + FORM_BYTES, ...bodyPace };

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const id = pathParam(ctx, 'id');
    assertPending(await findUpload(uploads, tenant, id), nowMs(), ASKED);
    const createdMs = nowMs();
    const partId = newUploadPartId(createdMs, randomHex(10));
    const begun: { part: ContentWriter | null } = { part: null };
    try {
      const take = async (_filename: string, bytes: AsyncIterable<Buffer>) => {
        begun.part = uploads.beginPart(tenant, id, partId);
        for await (const chunk of bytes) {
          if (begun.part.bytes + chunk.length > maxPartBytes) throw uploadPartTooLarge(maxPartBytes);
          await begun.part.write(chunk);
        }
      };
      await readForm(ctx.req, { ...bounds, takeBytes: ctx.state.takeBytes }, take, 'data');
      if (begun.part === null) throw missingParameter('data');
      await assertRoom(tenant, id, begun.part.bytes);
      await begun.part.complete();
    } catch (error) {
      if (begun.part !== null) await dropHalfContent(begun.part, { logger, id });
      throw error instanceof BodyTooLarge ? uploadPartTooLarge(maxPartBytes) : error;
    }
    await assertStillPending(tenant, id, partId);
    const part: UploadPart = { id: partId, object: 'upload.part', created_at: Math.floor(createdMs / 1000), upload_id: id };
    sendJson(ctx, part);
  };

  /** Parts that come at the same time do not see each other here, so a few may stand beyond the limit; no file ever does. */
  async function assertRoom(tenant: string, id: string, bytes: number): Promise<void> {
    const parts = await uploads.listParts(tenant, id);
    const before = [...parts.values()].reduce((sum, each) => sum + each, 0);
    if (before + bytes > limits.maxResumableUploadBytes || parts.size >= MAX_UPLOAD_PARTS)
      throw uploadFull(limits.maxResumableUploadBytes, MAX_UPLOAD_PARTS);
  }

  /**
   * Asked once the part exists: whoever ended the upload before then has not seen it, and whoever ends it after removes all
   * that is there, so no part is left behind.
   */
  async function assertStillPending(tenant: string, id: string, partId: string): Promise<void> {
    const record = await uploads.get(tenant, id);
    try {
      if (record === null) throw uploadNotFound(id);
      assertPending(record, nowMs(), ASKED);
    } catch (error) {
      await uploads.removePart(tenant, id, partId);
      throw error;
    }
  }
}
