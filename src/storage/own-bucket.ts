import { createJson, getJson, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import { type ObjectStore, ObjectStoreError } from './object-store.ts';
import { PART_BYTES } from './part-pool.ts';
import { updateJson } from './update-json.ts';

/** A bucket of a tenant: its part below the prefix that the operator set. */
export interface OwnBucket {
  store: ObjectStore;
  /** What the address of its objects begins with, such as `s3://bucket/prefix/`. */
  uri: string;
}

/** The bucket of a tenant; null if it has none. */
export type OwnBucketOf = (tenant: string) => OwnBucket | null;

/** Copies result files to the buckets of tenants, where they stay readable without Nightshift. */
export interface ResultCopies {
  /**
   * Copies a result file to `<batch>/output.jsonl` or `<batch>/errors.jsonl`. Does nothing if the tenant has no bucket, if it was
   * copied before, or if the tenant has deleted the file. May run several times and at the same time: all send the same parts. Throws
   * `ObjectStoreError` while the bucket is away or refuses.
   */
  copy(file: { tenant: string; batchId: string; fileId: string; role: 'output' | 'error' }, work: CopyWork): Promise<void>;
}

/** Ends the work with `signal`; `onPart` hears of each part, sent or found. */
interface CopyWork {
  signal: AbortSignal;
  onPart: (bytes: number) => void;
}

/** How far a copy is. The bucket lists the parts that it has. */
interface CopyState {
  uploadId: string | null;
  isDone: boolean;
}

const MAX_PARTS = 10_000;
const MEBIBYTE = 1024 * 1024;

export function createResultCopies({ store, bucketOf }: { store: ObjectStore; bucketOf: OwnBucketOf }): ResultCopies {
  async function readAll(source: string, range?: { start: number; end: number }): Promise<Buffer> {
    const found = await store.get(source, range);
    if (found === null) throw new ObjectStoreError('get', source, new Error('it went while it was copied'));
    return found.body;
  }

  /** Begins an upload in the place of `past`; of several at once one stands, and is answered. */
  async function begin(to: ObjectStore, key: string, { stateKey, past }: { stateKey: string; past: CopyState | null }): Promise<string> {
    const uploadId = await to.startMultipart(key);
    const own: CopyState = { uploadId, isDone: false };
    const standing =
      past === null
        ? await createJson(store, stateKey, own)
        : await updateJson<CopyState>(store, stateKey, (found) => (found.uploadId === past.uploadId ? own : null));
    if (standing?.uploadId !== uploadId) await to.abortMultipart(key, uploadId);
    return standing?.uploadId ?? uploadId;
  }

  /** Sends the parts that `found` lacks, one at a time, and answers all. */
  async function sendParts(
    given: {
      to: ObjectStore;
      key: string;
      source: string;
      bytes: number;
      uploadId: string;
      found: ReadonlyMap<number, { size: number; etag: string }>;
    },
    { signal, onPart }: CopyWork,
  ): Promise<{ part: number; etag: string }[]> {
    const { to, key, source, bytes, uploadId, found } = given;
    const partBytes = Math.max(PART_BYTES, Math.ceil(bytes / MAX_PARTS / MEBIBYTE) * MEBIBYTE);
    const parts: { part: number; etag: string }[] = [];
    for (let start = 0; start < bytes; start += partBytes) {
      signal.throwIfAborted();
      const [part, size] = [parts.length + 1, Math.min(partBytes, bytes - start)];
      const there = found.get(part);
      const send = async () => await to.uploadPart(key, uploadId, part, await readAll(source, { start, end: start + size - 1 }));
      parts.push({ part, etag: there?.size === size ? there.etag : await send() });
      onPart(size);
    }
    return parts;
  }

  async function copyInParts(
    { to, key, source, bytes, stateKey }: { to: ObjectStore; key: string; source: string; bytes: number; stateKey: string },
    work: CopyWork,
  ): Promise<void> {
    const isComplete = async () => (await to.stat(key))?.size === bytes;
    let past = await getJson<CopyState>(store, stateKey);
    let uploadId = past?.uploadId ?? (await begin(to, key, { stateKey, past }));
    let listed = await to.listParts(key, uploadId);
    while (listed === null) {
      // Another attempt has completed it, or a rule of the bucket has removed it.
      if (await isComplete()) return;
      past = { uploadId, isDone: false };
      uploadId = await begin(to, key, { stateKey, past });
      listed = await to.listParts(key, uploadId);
    }
    const found = new Map(listed.map(({ part, ...rest }) => [part, rest]));
    try {
      await to.completeMultipart(key, uploadId, await sendParts({ to, key, source, bytes, uploadId, found }, work));
    } catch (error) {
      // Another attempt may have completed it meanwhile.
      if (work.signal.aborted || !(await isComplete())) throw error;
    }
    // Of attempts that died before they could note their upload.
    for (const other of await to.listMultipart(key)) await to.abortMultipart(key, other.uploadId);
  }

  return {
    async copy({ tenant, batchId, fileId, role }, work) {
      const to = bucketOf(tenant)?.store;
      if (to === undefined) return;
      const stateKey = keys.copied(batchId, role);
      if ((await getJson<CopyState>(store, stateKey))?.isDone === true) return;
      const source = keys.content(tenant, fileId);
      const found = await store.stat(source);
      if (found === null) return;
      const key = `${batchId}/${role === 'output' ? 'output' : 'errors'}.jsonl`;
      if (found.size > PART_BYTES) await copyInParts({ to, key, source, bytes: found.size, stateKey }, work);
      else {
        await to.put(key, await readAll(source));
        work.onPart(found.size);
      }
      const done: CopyState = { uploadId: null, isDone: true };
      await store.put(stateKey, toJsonBytes(done));
    },
  };
}
