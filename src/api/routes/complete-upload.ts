import { createHash } from 'node:crypto';
import { notJsonl } from '../errors/file-errors.ts';
import { newFile } from '../../domain/file.ts';
import { newFileId } from '../../domain/ids.ts';
import type { Limits } from '../../domain/limits.ts';
import type { Upload, UploadRecord } from '../../domain/upload.ts';
import { invalidUploadParts, md5Mismatch, uploadNotFound, uploadNotPending } from '../errors/upload-errors.ts';
import type { ContentWriter, FileStore } from '../../storage/file-store.ts';
import type { UploadStore } from '../../storage/upload-store.ts';
import { type Logger, pathParam, type Route, sendJson, type TakeBytes, tenantOf } from '../context.ts';
import { dropHalfContent } from '../drop-half-content.ts';
import { createFirstLineCheck } from '../first-line.ts';
import { readJsonBody } from '../json-body.ts';
import { assertPending, findUpload } from '../pending-upload.ts';
import { type CompleteRequest, readCompleteRequest } from '../upload-request.ts';
import type { BodyPace } from '../request-body.ts';

interface Deps {
  uploads: UploadStore;
  files: FileStore;
  limits: Limits;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/**
 * `POST /v1/uploads/{id}/complete`: puts the parts, in the order given, into the content of a file. Whoever writes
 * `completed` into the record first has made the file, and every other completion, then or later, answers that one. What is
 * wrong with the parts leaves the upload pending, so that it can be completed with others.
 */
export function completeUpload({ uploads, files, limits, bodyPace, nowMs, randomHex, logger }: Deps): Route {
  /** Completions under way, by upload and what was asked: a client that asks again because it takes long waits for the first. */
  const running = new Map<string, Map<string, Promise<Upload>>>();

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const id = pathParam(ctx, 'id');
    const record = await findUpload(uploads, tenant, id);
    const { value } = await readJsonBody(ctx.req, bodyPace);
    const request = readCompleteRequest(value);
    if (record.upload.status !== 'completed') assertPending(record, nowMs(), 'complete');
    const upload =
      record.upload.status === 'completed'
        ? await adopt(tenant, record.upload)
        : await completeOnce(tenant, record, request, ctx.state.takeBytes);
    sendJson(ctx, upload);
  };

  async function completeOnce(tenant: string, record: UploadRecord, request: CompleteRequest, takeBytes: TakeBytes): Promise<Upload> {
    const asked = createHash('sha256').update(JSON.stringify(request)).digest('hex');
    const key = `${tenant}/${record.upload.id}`;
    const others = running.get(key) ?? new Map<string, Promise<Upload>>();
    running.set(key, others);
    const same = others.get(asked);
    if (same !== undefined) return await same;
    const isFirst = others.size === 0;
    const completing = (async () => {
      // The first takes the place of its parts. Others beside it would store the same bytes again.
      if (!isFirst) await takeBytes?.(record.upload.bytes);
      return await complete(tenant, record, request);
    })().finally(() => {
      others.delete(asked);
      if (others.size === 0) running.delete(key);
    });
    others.set(asked, completing);
    return await completing;
  }

  async function complete(tenant: string, record: UploadRecord, request: CompleteRequest): Promise<Upload> {
    const { id } = record.upload;
    const fileId = newFileId(nowMs(), randomHex(6));
    const content = await files.beginContent(tenant, fileId);
    try {
      await assemble(tenant, record.upload, request, content);
    } catch (error) {
      await dropHalfContent(content, { logger, id });
      // The parts may be gone because another completion, or a cancel, was faster.
      const now = await uploads.get(tenant, id);
      if (now === null || now.upload.status === 'pending') throw error;
      return await answerEnded(tenant, now.upload);
    }
    const { bytes, filename, purpose } = record.upload;
    const file = newFile({ id: fileId, bytes, filename, purpose, lifeSeconds: record.fileLifeSeconds });
    const settled = await uploads.update(tenant, id, (found) =>
      found.upload.status === 'pending' ? { ...found, upload: { ...found.upload, status: 'completed', file } } : null,
    );
    if (settled?.upload.file?.id === fileId) {
      await files.createRecord(tenant, file);
      await removeParts(tenant, id);
      return settled.upload;
    }
    await files.dropContent(tenant, fileId);
    if (settled === null) throw uploadNotFound(id);
    return await answerEnded(tenant, settled.upload);
  }

  async function answerEnded(tenant: string, upload: Upload): Promise<Upload> {
    if (upload.status !== 'completed') throw uploadNotPending('complete', upload.status);
    return await adopt(tenant, upload);
  }

  /** Writes what the parts hold, and checks all of it. */
  async function assemble(tenant: string, upload: Upload, { partIds, md5 }: CompleteRequest, content: ContentWriter): Promise<void> {
    const there = await uploads.listParts(tenant, upload.id);
    const parts = partIds.map((id) => {
      const bytes = there.get(id);
      if (bytes === undefined) throw unknownPart(id);
      return { id, bytes };
    });
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    if (bytes !== upload.bytes) throw wrongBytes(bytes, upload.bytes);

    const hash = md5 === null ? null : createHash('md5');
    const firstLine = upload.purpose === 'batch' ? createFirstLineCheck(limits.maxLineBytes) : null;
    /** Whether parts have to be read, to check them. */
    const isChecking = () => hash !== null || firstLine?.isSettled === false;
    await uploads.appendParts(tenant, upload.id, parts, content, async (partId) => {
      if (!isChecking()) return;
      const body = await uploads.openPart(tenant, upload.id, partId);
      if (body === null) throw unknownPart(partId);
      const chunks: AsyncIterable<Buffer> = body;
      for await (const chunk of chunks) {
        hash?.update(chunk);
        if (firstLine?.push(chunk) === false) throw notJsonl(firstLine.reason);
        if (!isChecking()) break;
      }
    });
    const found = hash?.digest('hex') ?? null;
    if (md5 !== null && found !== null && md5 !== found) throw md5Mismatch(found, md5);
    if (firstLine?.end() === false) throw notJsonl(firstLine.reason);
    if (content.bytes !== upload.bytes) throw wrongBytes(content.bytes, upload.bytes);
    await content.complete();
  }

  /** Answers what another completion made, and finishes it if it died between the upload's record and the file's. */
  async function adopt(tenant: string, upload: Upload): Promise<Upload> {
    // Later the content of a file that never got its record may have been swept.
    if (upload.file !== null && nowMs() < upload.expires_at * 1000) await files.createRecord(tenant, upload.file);
    await removeParts(tenant, upload.id);
    return upload;
  }

  async function removeParts(tenant: string, id: string): Promise<void> {
    await uploads
      .removeParts(tenant, id)
      .catch((err: unknown) => logger.warn({ upload: id, err }, 'parts could not be removed; the sweep will'));
  }
}

function unknownPart(partId: string) {
  return invalidUploadParts(`this upload has no part '${partId.slice(0, 100)}'.`);
}

function wrongBytes(got: number, announced: number) {
  return invalidUploadParts(`these parts have ${got} bytes in all, but the upload was created with 'bytes': ${announced}.`);
}
