import type { ContentWriter } from './file-store.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import { type Part, PART_BYTES, type PartPool } from './part-pool.ts';
import { createMarkerWriter } from './upload-marker.ts';

/** Parts of one upload on their way at a time. */
const PARTS_IN_FLIGHT = 2;
/** The same of parts that are copied within the bucket: they hold no buffer, and each takes long. */
const COPIES_IN_FLIGHT = 8;
/** S3 takes no smaller part, except as the last one. */
const MIN_PART_BYTES = 5 * 1024 * 1024;
/** What an upload keeps before it asks for a part buffer: small files, and clients that hardly begin, need none. */
const SMALL_BYTES = 64 * 1024;

/** Whether objects of these lengths can each be a part of one upload. Some stores, like R2, want parts of one size, and a last one that is not larger. */
export function arePartsEven(lengths: readonly number[]): boolean {
  const [first = 0] = lengths;
  const last = lengths.at(-1) ?? 0;
  return first >= MIN_PART_BYTES && last <= first && lengths.slice(0, -1).every((length) => length === first);
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
  /** How often the marker is written anew while a multipart upload runs (15 minutes). */
  everyMs?: number;
}

/**
 * Writes one object in bounded memory: what fits one part (8 MiB) is a single PUT, more goes up in parts, two at a time.
 * All parts but the last have one size, which some stores demand. One `write` at a time. The first part that fails ends the upload, and the next `write` or `complete` throws its error.
 * `abort` waits for what is on its way; if the bucket cannot be reached then, the marker stays and the sweep does the rest.
 * After `complete` it does nothing: somebody else may have written the same key.
 */
export function createMultipartWriter(options: MultipartWriterOptions): ContentWriter {
  const { store, key, parts, keepMarker = false } = options;
  const marker = createMarkerWriter(options);
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
  let mayExist = false;
  let completing: Promise<void> | null = null;
  let dropping: Promise<void> | null = null;

  function fail(error: unknown): void {
    ending.abort(error);
    void drop();
  }

  async function startUpload(): Promise<string> {
    // Marked before it begins, because its answer may never arrive, and again with the id.
    await marker.write(null);
    marker.keepYoung();
    uploadId = await store.startMultipart(key);
    await marker.write(uploadId);
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

  /** Makes the next part in the background, once few enough are on their way. */
  async function send(call: MakePart, buffer: Part | null): Promise<void> {
    const most = buffer === null ? COPIES_IN_FLIGHT : PARTS_IN_FLIGHT;
    while (sending.size >= most) await Promise.race(sending);
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

  async function take(chunk: Uint8Array): Promise<void> {
    bytes += chunk.length;
    if (started === 0 && filling === null && bytes <= SMALL_BYTES) return void small.push(Buffer.from(chunk));
    for (const early of small.splice(0)) await fill(early);
    await fill(chunk);
  }

  /** Takes a range of an object, `end` excluded, by reading it. */
  async function read(source: string, start: number, end: number): Promise<void> {
    const opened = await store.open(source, { start, end: end - 1 });
    if (opened === null) throw new ObjectStoreError('append', source, new Error('there is no such object'));
    const chunks: AsyncIterable<Buffer> = opened.body;
    for await (const chunk of chunks) await take(chunk);
  }

  /** Copies what is a part of its own, and reads what shares a part with other bytes. */
  async function appendEvenly(source: string, length: number): Promise<void> {
    for (let at = 0; at < length;) {
      const missing = PART_BYTES - (bytes % PART_BYTES);
      const end = Math.min(length, at + missing);
      if (end - at === PART_BYTES) {
        const range = { start: at, end: end - 1 };
        if (filling !== null) await flush(filling);
        await send((id, number) => store.copyPart(key, id, number, source, range), null);
        bytes += PART_BYTES;
      } else await read(source, at, end);
      at = end;
    }
  }

  function assertOpen(): void {
    if (completing !== null) throw new Error(`upload of ${key} was completed`);
    ending.signal.throwIfAborted();
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
      if (keepMarker) await marker.write(null);
      mayExist = true;
      await store.put(key, filling === null ? Buffer.concat(small) : filling.buffer.subarray(0, filledBytes));
      filling?.giveBack();
    }
    await marker.stop();
    // The object stands; a marker left over costs the sweep one look.
    if (marker.isWritten && !keepMarker) await marker.remove().catch(() => {});
  }

  function drop(): Promise<void> {
    dropping ??= (async () => {
      ending.abort(new Error(`upload of ${key} was aborted`));
      filling?.giveBack();
      filling = null;
      small.length = 0;
      await Promise.all(sending);
      await marker.stop();
      try {
        if (uploadId !== null) await store.abortMultipart(key, uploadId);
        // A call that failed may have arrived after all: an upload of unknown id, or an object that the sweep has to judge.
        const mayLeaveUpload = upload !== null && uploadId === null;
        if (marker.isWritten && !mayLeaveUpload && !(keepMarker && mayExist)) await marker.remove();
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
      assertOpen();
      await take(chunk);
    },

    async append(source, length, { asPart = false } = {}) {
      assertOpen();
      if (!asPart) return await appendEvenly(source, length);
      await send((id, number) => store.copyPart(key, id, number, source), null);
      bytes += length;
    },

    async complete() {
      assertOpen();
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
