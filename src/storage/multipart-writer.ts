import type { ContentWriter } from './file-store.ts';
import { keys } from './keys.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import type { Part, PartPool } from './part-pool.ts';

/** Parts of one upload on their way at a time. */
const PARTS_IN_FLIGHT = 2;
/** S3 takes no smaller part, except as the last one. */
const MIN_PART_BYTES = 5 * 1024 * 1024;
/** What an upload keeps before it asks for a part buffer: small files, and clients that hardly begin, need none. */
const SMALL_BYTES = 64 * 1024;

/** What the marker of an upload says; without an id the upload was perhaps started, and is found by its key. */
export interface UploadMarker {
  key: string;
  uploadId: string | null;
}

type MakePart = (uploadId: string, number: number) => Promise<string>;

/** `nonce` names the marker of the upload, `uploads/<nonce>`. */
export interface MultipartWriterOptions {
  store: ObjectStore;
  key: string;
  nonce: string;
  parts: PartPool;
  /**
   * Writes the marker for a single PUT too, and leaves it after `complete`: the object is garbage until somebody writes what
   * makes it count, who then removes the marker. Otherwise it is there only while a multipart upload runs.
   */
  keepMarker?: boolean;
}

/**
 * Writes one object in bounded memory: what fits one part (8 MiB) is a single PUT, more goes up in parts, two at a time.
 * One `write` at a time. The first part that fails ends the upload, and the next `write` or `complete` throws its error.
 * `abort` waits for what is on its way; if the bucket cannot be reached then, the marker stays and the sweep does the rest.
 * After `complete` it does nothing: somebody else may have written the same key.
 */
export function createMultipartWriter({ store, key, nonce, parts, keepMarker = false }: MultipartWriterOptions): ContentWriter {
  const marker = keys.upload(nonce);
  const ending = new AbortController();
  const small: Buffer[] = [];
  const sending = new Set<Promise<void>>();
  const sent: { part: number; etag: string }[] = [];
  let bytes = 0;
  let filling: Part | null = null;
  let filledBytes = 0;
  let started = 0;
  let upload: Promise<string> | null = null;
  let uploadId: string | null = null;
  let isMarked = false;
  let mayExist = false;
  let completing: Promise<void> | null = null;
  let dropping: Promise<void> | null = null;

  function fail(error: unknown): void {
    ending.abort(error);
    void drop();
  }

  async function mark(): Promise<void> {
    isMarked = true;
    const content: UploadMarker = { key, uploadId };
    await store.put(marker, Buffer.from(JSON.stringify(content)));
  }

  async function startUpload(): Promise<string> {
    // Marked before it begins, because its answer may never arrive, and again with the id.
    await mark();
    uploadId = await store.startMultipart(key);
    await mark();
    return uploadId;
  }

  async function makePart(call: MakePart, buffer: Part | null): Promise<void> {
    started += 1;
    const number = started;
    try {
      upload ??= startUpload();
      sent.push({ part: number, etag: await call(await upload, number) });
    } catch (error) {
      fail(error);
    } finally {
      buffer?.giveBack();
    }
  }

  /** Makes the next part in the background, once fewer than two are on their way. */
  async function send(call: MakePart, buffer: Part | null): Promise<void> {
    while (sending.size >= PARTS_IN_FLIGHT) await Promise.race(sending);
    ending.signal.throwIfAborted();
    const task = makePart(call, buffer).finally(() => sending.delete(task));
    sending.add(task);
  }

  /** Sends what is being filled. */
  async function flush(part: Part): Promise<void> {
    part.seal();
    const body = part.buffer.subarray(0, filledBytes);
    await send((id, number) => store.uploadPart(key, id, number, body), part);
    filling = null;
    filledBytes = 0;
  }

  async function takePart(): Promise<Part> {
    const stalled = () => fail(new ObjectStoreError('upload', key, 'nothing came for too long while other uploads waited'));
    const part = await parts.take(ending.signal, stalled);
    if (!ending.signal.aborted) return part;
    part.giveBack();
    throw ending.signal.reason;
  }

  async function fill(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length;) {
      if (filling !== null && filledBytes === filling.buffer.length) await flush(filling);
      const part: Part = (filling ??= await takePart());
      const some = chunk.subarray(taken, taken + part.buffer.length - filledBytes);
      part.buffer.set(some, filledBytes);
      part.touch();
      filledBytes += some.length;
      taken += some.length;
    }
  }

  async function finish(): Promise<void> {
    if (started > 0) {
      if (filling !== null) await flush(filling);
      await Promise.all(sending);
      ending.signal.throwIfAborted();
      mayExist = true;
      await store.completeMultipart(
        key,
        uploadId ?? '',
        sent.sort((a, b) => a.part - b.part),
      );
    } else {
      filling?.seal();
      if (keepMarker) await mark();
      mayExist = true;
      await store.put(key, filling === null ? Buffer.concat(small) : filling.buffer.subarray(0, filledBytes));
      filling?.giveBack();
    }
    // The object stands; a marker left over costs the sweep one look.
    if (isMarked && !keepMarker) await store.remove([marker]).catch(() => {});
  }

  function drop(): Promise<void> {
    dropping ??= (async () => {
      ending.abort(new Error(`upload of ${key} was aborted`));
      filling?.giveBack();
      filling = null;
      small.length = 0;
      await Promise.all(sending);
      try {
        if (uploadId !== null) await store.abortMultipart(key, uploadId);
        // A call that failed may have arrived after all: an upload of unknown id, or an object that the sweep has to judge.
        const mayLeaveUpload = upload !== null && uploadId === null;
        if (isMarked && !mayLeaveUpload && !(keepMarker && mayExist)) await store.remove([marker]);
      } catch {
        // The marker is still there, which is what it is for.
      }
    })();
    return dropping;
  }

  return {
    get bytes() {
      return bytes;
    },

    async write(chunk) {
      if (completing !== null) throw new Error(`upload of ${key} was completed`);
      ending.signal.throwIfAborted();
      bytes += chunk.length;
      if (started === 0 && filling === null && bytes <= SMALL_BYTES) return void small.push(Buffer.from(chunk));
      for (const early of small.splice(0)) await fill(early);
      await fill(chunk);
    },

    async append(source, length) {
      if (completing !== null) throw new Error(`upload of ${key} was completed`);
      ending.signal.throwIfAborted();
      const isTooEarly = small.length > 0 || (filling !== null && filledBytes < MIN_PART_BYTES);
      if (isTooEarly || length < MIN_PART_BYTES) return false;
      if (filling !== null) await flush(filling);
      await send((id, number) => store.copyPart(key, id, number, source), null);
      bytes += length;
      return true;
    },

    async complete() {
      if (completing !== null) throw new Error(`upload of ${key} was completed`);
      ending.signal.throwIfAborted();
      completing = finish();
      try {
        await completing;
      } catch (error) {
        // Not waited for: who has to know that it is done calls `abort`.
        void drop();
        throw error;
      }
    },

    async abort() {
      const isComplete = completing?.then(
        () => true,
        () => false,
      );
      if ((await isComplete) !== true) await drop();
    },
  };
}
