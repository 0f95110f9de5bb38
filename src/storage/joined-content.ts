import { cutParts, joinedPartBytes, type JoinedObject, type JoinedPart, type JoinPlace, type PartLimits } from '../domain/join-parts.ts';
import { createJson, getJson, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import { MARK_EVERY_MS, type UploadMarker } from './upload-marker.ts';
import { readRanges } from './read-ranges.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import { PART_BYTES, type PartPool } from './part-pool.ts';
import { updateJson } from './update-json.ts';

/**
 * A content that is put together out of objects of the bucket by one upload, over many calls and processes. Which bytes a part has
 * follows from the objects, so several may work on it at once: they send the same parts.
 */
export interface JoinedContent {
  /** Objects of shards before this one are in the upload as a whole. */
  readonly firstShard: number;
  /**
   * Uploads the whole parts of these objects, those that a lost process has sent excluded, and answers how many bytes are in no part
   * yet. They go from `firstShard` on, in order; `expectedBytes` is a guess at the length of the whole content.
   */
  append(objects: readonly JoinedObject[], work: JoinWork & { expectedBytes: number }): Promise<number>;
  /** Uploads the rest and makes the content readable. They are the last objects; `bytes` is the length of the content. */
  complete(objects: readonly JoinedObject[], bytes: number, work: JoinWork): Promise<void>;
}

/** Ends the work with `signal`; `onPart` hears of each part, sent or found. */
export interface JoinWork {
  signal: AbortSignal;
  onPart: (bytes: number) => void;
}

/** What a store demands of the parts of an upload. */
export interface JoinLimits {
  minBytes: number;
  maxCopyBytes: number;
  maxParts: number;
  /** The largest `minBytes` of parts of one size. Contents that need larger ones get parts of several sizes, which R2 refuses. */
  maxEqualBytes: number;
}

export const S3_LIMITS: JoinLimits = {
  minBytes: 5 * 1024 * 1024,
  maxCopyBytes: 5 * 1024 ** 3,
  maxParts: 10_000,
  // Parts of 64 MiB, two of which a worker has in memory: for contents of up to 640 GB.
  maxEqualBytes: 40 * 1024 * 1024,
};

/** The upload and how far it has come. Parts after `parts` may exist: the store lists them. */
interface UploadState {
  uploadId: string;
  /** Of its marker. */
  nonce: string;
  /** How all of its parts are cut. */
  cut: Cut;
  parts: number;
  next: JoinPlace;
}

type Cut = Pick<PartLimits, 'minBytes' | 'equalParts'>;

interface JoinOptions {
  store: ObjectStore;
  newNonce: () => string;
  parts: PartPool;
  limits: JoinLimits;
  /** Key of the content. */
  key: string;
  /** Key under which the state of the upload lies. */
  stateKey: string;
  /** Hears of the key of the marker that stands while the content has no record. */
  onComplete: (marker: string) => void;
}

const PARTS_IN_FLIGHT = 2;

/** Opens what stands under `stateKey`; the upload begins with its first part. */
export async function openJoinedContent(options: JoinOptions): Promise<JoinedContent> {
  const { store, newNonce, parts: pool, limits, key, stateKey, onComplete } = options;
  let state = await getJson<UploadState>(store, stateKey);
  let markedMs = -Infinity;

  async function mark({ uploadId, nonce }: { uploadId: string | null; nonce: string }): Promise<void> {
    // Shards may take hours between two parts.
    const marker: UploadMarker = { key, uploadId, heldBy: stateKey };
    await store.put(keys.upload(nonce), toJsonBytes(marker));
    markedMs = performance.now();
  }

  async function drop({ uploadId, nonce }: { uploadId: string; nonce: string }): Promise<void> {
    await store.abortMultipart(key, uploadId);
    await store.remove([keys.upload(nonce)]);
  }

  /** Begins an upload in the place of `past`; of several at once one stands, and is answered. */
  async function begin(past: UploadState | null, cut: Cut): Promise<UploadState> {
    const nonce = newNonce();
    // Marked before it begins, because its answer may never arrive, and again with the id.
    await mark({ uploadId: null, nonce });
    const uploadId = await store.startMultipart(key);
    await mark({ uploadId, nonce });
    const own: UploadState = { uploadId, nonce, cut, parts: 0, next: { shard: 0, offset: 0 } };
    const standing =
      past === null
        ? await createJson(store, stateKey, own)
        : await updateJson<UploadState>(store, stateKey, (found) => (found.uploadId === past.uploadId ? own : null));
    if (standing?.uploadId !== uploadId) await drop(own);
    else if (past !== null) await drop(past);
    return standing ?? own;
  }

  /** Sends the parts that are missing. Answers false when the store does not know the upload any more. */
  async function sendParts(
    objects: readonly JoinedObject[],
    isLast: boolean,
    { expectedBytes, signal, onPart }: JoinWork & { expectedBytes: number },
  ): Promise<boolean> {
    const upload = state ?? (await begin(null, expectedCut(expectedBytes)));
    state = upload;
    const listed = await store.listParts(key, upload.uploadId);
    if (listed === null) return false;
    await mark(upload);
    const found = new Map(listed.map(({ part, size }) => [part, size]));
    const sending = new Set<Promise<void>>();
    const failures: unknown[] = [];
    let { parts, next } = upload;
    for (const part of cutParts(objects, next, { limits: { ...limits, ...upload.cut }, isLast })) {
      const number = parts + 1;
      // Only while more objects may come: `complete` cuts larger parts.
      if (number > limits.maxParts) break;
      if (found.get(number) === part.bytes) onPart(part.bytes);
      else {
        while (sending.size >= PARTS_IN_FLIGHT) await Promise.race(sending);
        if (signal.aborted || failures.length > 0) break;
        if (performance.now() - markedMs > MARK_EVERY_MS) await mark(upload);
        const sent: Promise<void> = send(upload, number, part, signal)
          .then(() => onPart(part.bytes))
          .catch((error: unknown) => void failures.push(error))
          .finally(() => sending.delete(sent));
        sending.add(sent);
      }
      [parts, next] = [number, part.next];
    }
    await Promise.all(sending);
    signal.throwIfAborted();
    if (failures.length > 0) throw failures[0];
    state = { ...upload, parts, next };
    return true;
  }

  async function send({ uploadId }: UploadState, number: number, part: JoinedPart, signal: AbortSignal): Promise<void> {
    const [first] = part.ranges;
    if (first !== undefined && part.isCopy) {
      const { object, start, end } = first;
      const range = start === 0 && end === object.bytes ? undefined : { start, end: end - 1 };
      await store.copyPart(key, uploadId, number, object.key, range);
      return;
    }
    using buffer = await takeBuffer(part.bytes, signal);
    await store.uploadPart(key, uploadId, number, await readRanges(store, part.ranges, buffer.bytes));
  }

  async function takeBuffer(length: number, signal: AbortSignal): Promise<{ bytes: Buffer } & Disposable> {
    if (length > PART_BYTES) return { bytes: Buffer.allocUnsafeSlow(length), [Symbol.dispose]: () => undefined };
    const lent = await pool.take(signal, () => undefined);
    // Nothing is waited for but the bucket.
    lent.seal();
    return { bytes: lent.buffer.subarray(0, length), [Symbol.dispose]: () => lent.giveBack() };
  }

  /** Makes the object out of its parts. Throws unless these are all of its bytes. */
  async function assemble({ uploadId, parts }: UploadState, bytes: number): Promise<void> {
    const listed = (await store.listParts(key, uploadId))?.filter(({ part }) => part <= parts) ?? [];
    const sum = listed.reduce((total, { size }) => total + size, 0);
    if (listed.length !== parts || sum !== bytes) {
      throw new ObjectStoreError('complete', key, new Error(`${listed.length} of ${parts} parts and ${sum} of ${bytes} bytes are there`));
    }
    await store.completeMultipart(key, uploadId, listed);
  }

  async function putWhole(objects: readonly JoinedObject[], bytes: number, { signal, onPart }: JoinWork): Promise<void> {
    using buffer = await takeBuffer(bytes, signal);
    const ranges = objects.map((object) => ({ object, start: 0, end: object.bytes }));
    const body = await readRanges(store, ranges, buffer.bytes);
    const nonce = newNonce();
    // The content is garbage until it has its record.
    await mark({ uploadId: null, nonce });
    await store.put(key, body);
    onPart(bytes);
    onComplete(keys.upload(nonce));
  }

  /** How to cut so many bytes of which nothing more is known. */
  function expectedCut(bytes: number): Cut {
    for (let minBytes = limits.minBytes; minBytes <= limits.maxEqualBytes; minBytes *= 2) {
      if (joinedPartBytes(minBytes) * limits.maxParts >= bytes) return { minBytes, equalParts: true };
    }
    return { minBytes: limits.minBytes, equalParts: false };
  }

  /** A cut with which the objects fit into as many parts as an upload may have: that of the upload, if it does. */
  function fittingCut(objects: readonly JoinedObject[], bytes: number): Cut {
    const partsOf = (cut: Cut, from: JoinPlace) => [...cutParts(objects, from, { limits: { ...limits, ...cut }, isLast: true })].length;
    if (state !== null && state.parts + partsOf(state.cut, state.next) <= limits.maxParts) return state.cut;
    let cut = expectedCut(bytes);
    while (partsOf(cut, { shard: 0, offset: 0 }) > limits.maxParts) cut = { ...cut, minBytes: cut.minBytes * 2 };
    return cut;
  }

  async function isComplete(bytes: number): Promise<boolean> {
    return (await store.stat(key))?.size === bytes;
  }

  return {
    get firstShard() {
      return state?.next.shard ?? 0;
    },

    async append(objects, work) {
      const isKnown = await sendParts(objects, false, work);
      if (state === null || !isKnown) return 0;
      const { uploadId, parts, next } = state;
      await updateJson<UploadState>(store, stateKey, (found) =>
        found.uploadId === uploadId && found.parts < parts ? { ...found, parts, next } : null,
      );
      return bytesAfter(objects, next);
    },

    async complete(objects, bytes, work) {
      if (state === null && bytes <= PART_BYTES) return await putWhole(objects, bytes, work);
      try {
        const cut = fittingCut(objects, bytes);
        if (state === null || state.cut !== cut) state = await begin(state, cut);
        while (!(await sendParts(objects, true, { ...work, expectedBytes: bytes }))) {
          // Another has completed it, or the sweep has taken it for dead.
          if (await isComplete(bytes)) return onComplete(keys.upload(state.nonce));
          state = await begin(state, cut);
        }
        await assemble(state, bytes);
      } catch (error) {
        // Another may have completed it meanwhile.
        if (state === null || !(await isComplete(bytes))) throw error;
      }
      onComplete(keys.upload(state.nonce));
    },
  };
}

function bytesAfter(objects: readonly JoinedObject[], { shard, offset }: JoinPlace): number {
  return objects.filter((object) => object.shard >= shard).reduce((sum, { bytes }) => sum + bytes, -offset);
}
