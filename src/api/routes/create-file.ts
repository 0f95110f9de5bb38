import { fileTooLarge, notJsonl } from '../errors/file-errors.ts';
import { missingParameter } from '../errors/parameter-errors.ts';
import { DEFAULT_FILE_LIFE_SECONDS, type File, newFile, type UploadPurpose } from '../../domain/file.ts';
import { newFileId } from '../../domain/ids.ts';
import type { Limits } from '../../domain/limits.ts';
import type { ContentWriter, FileStore } from '../../storage/file-store.ts';
import { type Logger, type Route, sendJson, tenantOf } from '../context.ts';
import { dropHalfContent } from '../drop-half-content.ts';
import { readFormExpiresAfter } from '../expires-after.ts';
import { checkFilename } from '../filename.ts';
import { createFirstLineCheck, type FirstLineCheck } from '../first-line.ts';
import { readForm } from '../multipart.ts';
import { readPurpose } from '../purpose.ts';
import type { BodyPace } from '../request-body.ts';

interface Deps {
  files: FileStore;
  limits: Limits;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/** What came in as the part `file`. */
interface Upload {
  filename: string;
  content: ContentWriter;
  firstLine: FirstLineCheck;
}

/** `POST /v1/files`: streams the content to the bucket and writes the record last, so that a half upload is never a file. */
export function createFile({ files, limits, bodyPace, nowMs, randomHex, logger }: Deps): Route {
  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const id = newFileId(nowMs(), randomHex(6));
    const begun: { upload: Upload | null } = { upload: null };
    try {
      const bounds = { maxBytes: limits.maxUploadBytes, ...bodyPace, takeBytes: ctx.state.takeBytes };
      const fields = await readForm(ctx.req, bounds, async (filename, bytes, fieldsSoFar) => {
        checkFilename('file', filename);
        const purpose = fieldsSoFar.has('purpose') ? readPurpose(fieldsSoFar.get('purpose')) : null;
        begun.upload = { filename, content: await files.beginContent(tenant, id), firstLine: createFirstLineCheck(limits.maxLineBytes) };
        await take(begun.upload, bytes, purpose);
      });
      const file = await finish(id, fields, begun.upload);
      if ((await files.createRecord(tenant, file)) === 'exists') throw new Error(`file id ${id} is taken`);
      sendJson(ctx, file);
    } catch (error) {
      if (begun.upload !== null) await dropHalfContent(begun.upload.content, { logger, id });
      throw error;
    }
  };

  /** Writes the content as it comes; gives up as soon as it is certain that it will be refused. */
  async function take({ content, firstLine }: Upload, bytes: AsyncIterable<Buffer>, purpose: UploadPurpose | null): Promise<void> {
    for await (const chunk of bytes) {
      const isJsonl = firstLine.push(chunk);
      if (purpose === 'batch' && !isJsonl) throw notJsonl(firstLine.reason);
      if (purpose === 'batch' && content.bytes + chunk.length > limits.maxBatchInputBytes) throw fileTooLarge();
      await content.write(chunk);
    }
  }

  /** Checks the form as a whole, for the purpose may come after the file, and makes the content readable. */
  async function finish(id: string, fields: ReadonlyMap<string, string>, upload: Upload | null): Promise<File> {
    const purpose = readPurpose(fields.get('purpose'));
    const lifeSeconds = readFormExpiresAfter(fields) ?? (purpose === 'batch' ? DEFAULT_FILE_LIFE_SECONDS : null);
    if (upload === null) throw missingParameter('file');
    const { content, filename } = upload;
    if (purpose === 'batch' && content.bytes > limits.maxBatchInputBytes) throw fileTooLarge();
    if (purpose === 'batch' && !upload.firstLine.end()) throw notJsonl(upload.firstLine.reason);
    await content.complete();
    return newFile({ id, bytes: content.bytes, filename, purpose, lifeSeconds });
  }
}
