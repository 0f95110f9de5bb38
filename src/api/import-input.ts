import { fileTooLarge, notJsonl } from './errors/file-errors.ts';
import { cannotReadInput } from './errors/batch-errors.ts';
import { DEFAULT_FILE_LIFE_SECONDS, newFile } from '../domain/file.ts';
import { newFileId } from '../domain/ids.ts';
import type { Limits } from '../domain/limits.ts';
import type { FileStore } from '../storage/file-store.ts';
import type { OwnBucketOf } from '../storage/own-bucket.ts';
import type { Logger, TakeBytes } from './context.ts';
import { dropHalfContent } from './drop-half-content.ts';
import { createFirstLineCheck } from './first-line.ts';

interface Deps {
  files: FileStore;
  ownBucketOf: OwnBucketOf;
  limits: Limits;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
  logger: Logger;
}

/** Whether a client names an object of its bucket in the place of a file. */
export function isObjectUri(inputFileId: string): boolean {
  return inputFileId.startsWith('s3://');
}

/** One create that names an object. */
interface Import {
  tenant: string;
  uri: string;
  /** Books the bytes of the file before they are read; throws the 429. Absent where the tenant has no limit. */
  takeBytes: TakeBytes;
  signal: AbortSignal;
}

/**
 * Copies an object of the tenant's own bucket into a file, and answers its id: a running batch must not change with the object. Throws the
 * 400 where the tenant has no bucket, the object lies elsewhere or does not exist, or it is no input file.
 */
export async function importInput(deps: Deps, { tenant, uri, takeBytes, signal }: Import): Promise<string> {
  const { files, limits, randomHex, nowMs, logger } = deps;
  const bucket = deps.ownBucketOf(tenant);
  if (bucket === null) throw cannotReadInput(uri, 'this tenant has no bucket. Upload a file, or ask the operator for a bucket');
  const key = uri.startsWith(bucket.uri) ? uri.slice(bucket.uri.length) : '';
  if (key === '')
    throw cannotReadInput(uri, `it is not below '${bucket.uri}', which is the bucket of this tenant. Name an object below it`);
  const absent = () => cannotReadInput(uri, 'there is no such object. Check its key, and that it is uploaded');
  const before = await bucket.store.stat(key);
  if (before === null) throw absent();
  if (before.size > limits.maxBatchInputBytes) throw fileTooLarge();
  await takeBytes?.(before.size);
  const found = await bucket.store.open(key);
  if (found === null) throw absent();
  const id = newFileId(nowMs(), randomHex(6));
  const content = await files.beginContent(tenant, id);
  const firstLine = createFirstLineCheck(limits.maxLineBytes);
  try {
    for await (const chunk of found.body as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      if (!firstLine.push(chunk)) throw notJsonl(firstLine.reason);
      await content.write(chunk);
    }
    const after = await bucket.store.stat(key);
    if (after?.etag !== before.etag || content.bytes !== before.size)
      throw cannotReadInput(uri, 'it was changed while it was read. Create the batch again when it is complete');
    if (!firstLine.end()) throw notJsonl(firstLine.reason);
    await content.complete();
  } catch (error) {
    await dropHalfContent(content, { logger, id });
    throw error;
  } finally {
    found.body.destroy();
  }
  const filename = key.slice(key.lastIndexOf('/') + 1) || 'input.jsonl';
  await files.createRecord(
    tenant,
    newFile({ id, bytes: content.bytes, filename, purpose: 'batch', lifeSeconds: DEFAULT_FILE_LIFE_SECONDS }),
  );
  return id;
}
