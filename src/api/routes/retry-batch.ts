import type { Readable } from 'node:stream';
import { type Batch, isTerminal } from '../../domain/batch.ts';
import { emptyArray, invalidType, invalidValue, unknownParameter } from '../errors/parameter-errors.ts';
import { cannotRetry } from '../errors/batch-errors.ts';
import { DEFAULT_FILE_LIFE_SECONDS } from '../../domain/file.ts';
import { isFileId, newFileId } from '../../domain/ids.ts';
import { describeJsonType } from '../../domain/json-type.ts';
import type { Limits } from '../../domain/limits.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import type { FileStore } from '../../storage/file-store.ts';
import { batchOf } from '../batch-of.ts';
import type { BatchMaker } from '../batch-maker.ts';
import { clientGone, holdSlot, type Logger, type Route, type TakeBytes, tenantOf } from '../context.ts';
import { copyLines, RETRY_STATUSES, type RetryStatus } from '../copy-lines.ts';
import { createOf } from '../create-try.ts';
import { dropHalfContent } from '../drop-half-content.ts';
import { readOptionalJsonBody } from '../json-body.ts';
import type { BodyPace } from '../request-body.ts';
import type { Slots } from '../slots.ts';

interface Deps {
  batches: Pick<BatchStore, 'get'>;
  files: FileStore;
  maker: BatchMaker;
  downloads: Slots;
  limits: Limits;
  completionWindows: ReadonlyMap<string, number>;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/** An error line is not much longer than the longest answer. */
const MAX_ERROR_LINE_BYTES = 512 * 1024 * 1024;

/**
 * `POST /v1/batches/{id}/retry`: a new batch of exactly the lines that failed, expired or were cancelled, byte for byte and in their order. Its
 * input is a file of its own. Throws the 409 where the batch has not ended, has no such lines, or its files are gone.
 */
export function retryBatch(deps: Deps): Route {
  const { batches, maker, downloads } = deps;

  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const { value, bytes } = await readOptionalJsonBody(ctx.req, deps.bodyPace);
    const statuses = readStatuses(value);
    const record = await batchOf(ctx, batches);
    const { batch } = record;
    const windowMs = windowOf(batch);
    // A retry of one batch is no retry of another, and no create.
    const create = createOf(ctx, tenant, Buffer.concat([Buffer.from(`retry of ${batch.id} `), bytes]));
    await maker.accept(ctx, create, async () => {
      const signal = clientGone(ctx);
      await holdSlot(ctx, downloads, signal);
      return {
        inputFileId: await copyInput(tenant, batch, statuses, ctx.state.takeBytes),
        endpoint: batch.endpoint,
        completionWindow: batch.completion_window,
        windowMs,
        metadata: batch.metadata,
        outputExpiresAfterSeconds: record.output_expires_after_seconds,
        retryOf: batch.id,
      };
    });
  };

  function windowOf({ completion_window, created_at, expires_at }: Batch): number {
    return deps.completionWindows.get(completion_window) ?? (expires_at - created_at) * 1000;
  }

  /** Writes the lines into a new file and answers its id. */
  async function copyInput(tenant: string, batch: Batch, statuses: readonly RetryStatus[], takeBytes: TakeBytes): Promise<string> {
    const { files, limits, nowMs, randomHex, logger } = deps;
    using sources = new DisposableStack();
    const { input, errors } = await openSources(tenant, batch, (body) => void sources.defer(() => body.destroy()));
    const createdMs = nowMs();
    const fileId = newFileId(createdMs, randomHex(6));
    const content = await files.beginContent(tenant, fileId);
    try {
      const copied = await copyLines({
        input,
        errors,
        statuses,
        maxLineBytes: Math.max(limits.maxLineBytes, MAX_ERROR_LINE_BYTES),
        to: {
          async write(chunk) {
            await takeBytes?.(chunk.length);
            await content.write(chunk);
          },
        },
      });
      if (copied === 0) throw cannotRetry(batch.id, `none of its lines is ${statuses.join(' or ')}`);
      await content.complete();
    } catch (error) {
      await dropHalfContent(content, { logger, id: fileId });
      throw error;
    }
    const created_at = Math.floor(createdMs / 1000);
    await files.createRecord(tenant, {
      id: fileId,
      object: 'file',
      bytes: content.bytes,
      created_at,
      expires_at: created_at + DEFAULT_FILE_LIFE_SECONDS,
      filename: `${batch.id}_retry.jsonl`,
      purpose: 'batch',
      status: 'processed',
      status_details: null,
    });
    return fileId;
  }

  async function openSources(
    tenant: string,
    batch: Batch,
    opened: (body: Readable) => void,
  ): Promise<{ input: Readable; errors: Readable }> {
    const { id, status, error_file_id, input_file_id } = batch;
    if (!isTerminal(status)) throw cannotRetry(id, `it has the status '${status}', and only a batch that has ended can be run again`);
    if (status === 'failed') throw cannotRetry(id, "its input was refused: correct the errors in its member 'errors' and upload it again");
    if (error_file_id === null) throw cannotRetry(id, 'all of its lines were answered');
    const input = await openInput(tenant, batch);
    if (input === null) {
      const others = batch.nightshift?.retry_of === undefined ? '' : ', and so are those of the batches that it retries';
      throw cannotRetry(id, `its input file '${input_file_id}' is gone${others}. Result files hold no requests, so upload the lines again`);
    }
    opened(input);
    const errors = await openFile(tenant, error_file_id);
    if (errors === null) throw cannotRetry(id, `its error file '${error_file_id}' is gone, which says which lines failed`);
    opened(errors);
    return { input, errors };
  }

  /** The input of the batch; if it is gone, that of the batch which this one retries, because that has these lines among others. */
  async function openInput(tenant: string, batch: Batch): Promise<Readable | null> {
    for (let at: Batch | undefined = batch; at !== undefined;) {
      const input = await openFile(tenant, at.input_file_id);
      if (input !== null) return input;
      const earlier: string | undefined = at.nightshift?.retry_of;
      at = earlier === undefined ? undefined : (await batches.get(tenant, earlier))?.batch;
    }
    return null;
  }

  async function openFile(tenant: string, id: string): Promise<Readable | null> {
    if (!isFileId(id) || (await deps.files.get(tenant, id)) === null) return null;
    return (await deps.files.openContent(tenant, id))?.body ?? null;
  }
}

function readStatuses(body: Record<string, unknown>): RetryStatus[] {
  for (const name of Object.keys(body)) if (name !== 'status') throw unknownParameter(name);
  const given = body['status'];
  if (given === undefined || given === null) return [...RETRY_STATUSES];
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length === 0) throw emptyArray('status');
  return list.map((each) => {
    if (typeof each !== 'string') throw invalidType('status', 'a string or an array of strings', describeJsonType(each));
    const found = RETRY_STATUSES.find((status) => status === each);
    if (found === undefined) throw invalidValue('status', each, RETRY_STATUSES);
    return found;
  });
}
