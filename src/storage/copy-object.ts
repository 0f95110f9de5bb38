import { createHash } from 'node:crypto';
import { type ListedObject, type ObjectStore, ObjectStoreError } from './object-store.ts';
import { PART_BYTES } from './part-pool.ts';

/** Parts of one upload, as many as S3 takes. */
const MAX_PARTS = 10_000;

interface ObjectCopy {
  from: ObjectStore;
  to: ObjectStore;
  object: ListedObject;
  signal: AbortSignal;
}

/** Copies one object through this process and checks what the target then has. Throws `ObjectStoreError` if it is not the same. */
export async function copyObject(copy: ObjectCopy): Promise<void> {
  const { from, to, object } = copy;
  const { key, size } = object;
  const md5 = size <= PART_BYTES ? await copyWhole(copy) : await copyInParts(copy);
  const stored = await to.stat(key);
  if (stored?.size !== size) throw new ObjectStoreError('copy', key, new Error(`the target has ${stored?.size ?? 'no'} bytes of ${size}`));
  // The tag is the MD5 of an object that was sent whole, unless the store encrypts it. Then, and for parts, the bytes say it.
  if (stored.etag !== md5 && (await md5Of(to, key)) !== md5)
    throw new ObjectStoreError('copy', key, new Error('the target has other bytes'));
  if ((await from.stat(key))?.size !== size) throw new ObjectStoreError('copy', key, new Error('it changed while it was copied'));
}

async function copyWhole({ from, to, object: { key, size } }: ObjectCopy): Promise<string> {
  const found = await from.get(key);
  if (found?.body.length !== size) throw new ObjectStoreError('copy', key, new Error('it changed while it was copied'));
  await to.put(key, found.body);
  return createHash('md5').update(found.body).digest('hex');
}

async function copyInParts({ from, to, object: { key, size }, signal }: ObjectCopy): Promise<string> {
  const opened = await from.open(key);
  if (opened?.size !== size) throw new ObjectStoreError('copy', key, new Error('it changed while it was copied'));
  const hash = createHash('md5');
  const parts: { part: number; etag: string }[] = [];
  const uploadId = await to.startMultipart(key);
  try {
    for await (const body of cut(opened.body, Math.max(PART_BYTES, Math.ceil(size / MAX_PARTS)))) {
      signal.throwIfAborted();
      hash.update(body);
      parts.push({ part: parts.length + 1, etag: await to.uploadPart(key, uploadId, parts.length + 1, body) });
    }
    await to.completeMultipart(key, uploadId, parts);
  } catch (error) {
    await to.abortMultipart(key, uploadId).catch(() => undefined);
    throw error;
  }
  return hash.digest('hex');
}

/** Buffers of `length` bytes, the last one perhaps shorter. */
async function* cut(chunks: AsyncIterable<Buffer>, length: number): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const some = chunk.subarray(at, at + length - bytes);
      pending.push(some);
      at += some.length;
      bytes += some.length;
      if (bytes < length) continue;
      yield Buffer.concat(pending);
      [pending, bytes] = [[], 0];
    }
  }
  if (bytes > 0) yield Buffer.concat(pending);
}

async function md5Of(store: ObjectStore, key: string): Promise<string> {
  const hash = createHash('md5');
  const opened = await store.open(key);
  const chunks: AsyncIterable<Buffer> = opened?.body ?? (async function* () {})();
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
