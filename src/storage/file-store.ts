import type { Readable } from 'node:stream';
import { type File, type FilePurpose, isExpired } from '../domain/file.ts';
import { firstMapped } from './in-order.ts';
import { getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { type JoinedContent, type JoinLimits, openJoinedContent, S3_LIMITS } from './joined-content.ts';
import { keys } from './keys.ts';
import { createMultipartWriter } from './multipart-writer.ts';
import type { ByteRange, ObjectStore } from './object-store.ts';
import { createOpenMarkers } from './open-markers.ts';
import type { PartPool } from './part-pool.ts';
import { createRecent } from './recent.ts';
import { indexKeys } from './result-index.ts';
import { bytesBelow } from './stored-bytes.ts';

/** The files of all tenants: immutable records, their bytes, and tombstones of what was deleted. */
export interface FileStore {
  /**
   * Begins a file whose bytes are then written in order; the record comes last, so a half upload is never a file.
   * `id` is made by the caller; the bytes lie under it.
   */
  beginContent(tenant: string, id: string): Promise<ContentWriter>;
  /** As `beginContent`, for a content that is put together out of objects of a batch, and goes on with what others have begun of it. */
  openJoined(tenant: string, id: string, batchId: string): Promise<JoinedContent>;
  /** Makes the file visible. Create-only, and never over a tombstone; `'exists'` when that was there, or another record than this. */
  createRecord(tenant: string, file: File): Promise<'created' | 'exists'>;
  /** Removes complete bytes that shall never get a record; one that is left behind by a crash goes with the sweep. */
  dropContent(tenant: string, id: string): Promise<void>;
  /** The record; null when unknown, deleted, expired or another tenant's. */
  get(tenant: string, id: string): Promise<File | null>;
  /** Opens the bytes of a file record (or a range of them); null when they are gone. */
  openContent(tenant: string, id: string, range?: ByteRange): Promise<{ body: Readable; size: number } | null>;
  /** One page, newest first unless `order` is `asc`; `after` is exclusive and may be a deleted id. `'unknown_cursor'` when nobody of this tenant ever had it. */
  list(tenant: string, query: FileQuery): Promise<Page<File> | 'unknown_cursor'>;
  /** Bytes of all contents of a tenant, complete ones only. */
  storedBytes(tenant: string): Promise<number>;
  /**
   * Tombstone first, then the record; resolves once that is gone, false when there is no such file. The bytes follow in the
   * background unless an open batch names the file, because a bucket lets nobody remove an object that is being read; what is
   * left of them goes with the sweep.
   */
  delete(tenant: string, id: string): Promise<boolean>;
  /** Whether a file of this tenant was deleted or has expired, and its tombstone is still there. */
  isDeleted(tenant: string, id: string): Promise<boolean>;
}

export interface FileQuery {
  limit: number;
  order: 'asc' | 'desc';
  after: string | null;
  purpose: FilePurpose | string | null;
  /** Ends the reading; the list then throws its reason. */
  signal?: AbortSignal;
}

/** One page of a list; `hasMore` says whether anything follows. */
export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

/** Writes the bytes of one object in bounded memory; nothing is readable before `complete`. */
export interface ContentWriter {
  /** Bytes taken so far. */
  readonly bytes: number;
  /** Takes a chunk; resolves when there is room for more, which is to be waited for before the next one. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Takes an object of the bucket, `bytes` long. Its bytes are copied within the bucket, where they make a part of 8 MiB; the others
   * are read. With `asPart` the object becomes a part as it is: for a content that is made of such objects only, which `arePartsEven`.
   */
  append(source: string, bytes: number, options?: { asPart?: boolean }): Promise<void>;
  /** Makes the object readable. If it throws, everything is dropped. */
  complete(): Promise<void>;
  /** Drops everything written; safe at any time and more than once, and without effect after `complete`. */
  abort(): Promise<void>;
}

/** Bytes of the records that a process remembers: some 50,000 files with usual names. */
const REMEMBERED_BYTES = 32 * 1024 * 1024;
/** Bytes of the records of one page: a page of 10,000 files with usual names has half of it; one with very long names ends earlier. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** Removals in the background at a time: each of an object that is being read holds a connection until the bucket's answer is overdue. */
const REMOVALS_AT_A_TIME = 4;
/** Bytes of memory of an entry besides its strings. */
const ENTRY_BYTES = 300;
/** Open markers looked at when a file is deleted; with more the bytes are left to the sweep, which reads them all anyway. */
const MARKERS_LOOKED_AT = 1000;

/**
 * The files in a bucket. `nowMs` is the clock (Unix milliseconds), `newNonce` makes names no other process has, `onBytesLeft` gets
 * what could not be removed after a deletion or an upload.
 */
export function createFileStore({
  store,
  nowMs,
  newNonce,
  parts,
  onBytesLeft = () => undefined,
  joinLimits = S3_LIMITS,
}: {
  store: ObjectStore;
  nowMs: () => number;
  newNonce: () => string;
  parts: PartPool;
  onBytesLeft?: (contentKey: string, error: unknown) => void;
  joinLimits?: JoinLimits;
}): FileStore {
  // A record never changes, so what was read once is known; whether it still exists only the bucket says.
  const records = createRecent<File>(REMEMBERED_BYTES, (key, { filename }) => ENTRY_BYTES + 2 * (key.length + filename.length));
  const openMarkers = createOpenMarkers(store);
  /** Markers of contents whose record is still to come, by content key. */
  const markers = new Map<string, string>();

  const isVisible = (file: File) => !isExpired(file, Math.floor(nowMs() / 1000));

  async function read(key: string): Promise<File | null> {
    const file = await getJson<File>(store, key);
    if (file !== null) records.set(key, file);
    return file;
  }

  async function get(tenant: string, id: string): Promise<File | null> {
    const file = await read(keys.file(tenant, id));
    return file !== null && isVisible(file) ? file : null;
  }

  /** Create-only. A record of the same bytes is this one: a write whose answer was lost is repeated and finds itself. */
  async function createOnce(key: string, file: File): Promise<'created' | 'exists'> {
    const bytes = toJsonBytes(file);
    if ((await store.create(key, bytes)) === 'exists' && (await store.get(key))?.body.equals(bytes) !== true) return 'exists';
    records.set(key, file);
    return 'created';
  }

  async function isDeleted(tenant: string, id: string): Promise<boolean> {
    return (await store.stat(keys.tombstone(tenant, id))) !== null;
  }

  /** Whether an open batch reads the file. To be asked after the record is gone: a batch that comes later cannot find it. */
  async function isRead(tenant: string, file: File): Promise<boolean> {
    if (file.purpose !== 'batch') return false;
    let seen = 0;
    for await (const open of openMarkers.list(tenant)) {
      seen += 1;
      if (open.inputFileId === file.id || seen === MARKERS_LOOKED_AT) return true;
    }
    return false;
  }

  let removing = 0;
  async function removeContent(tenant: string, file: File): Promise<void> {
    if (removing >= REMOVALS_AT_A_TIME) return;
    removing += 1;
    const key = keys.content(tenant, file.id);
    try {
      if (!(await isRead(tenant, file))) await store.remove([key]);
    } catch (error) {
      onBytesLeft(key, error);
    } finally {
      removing -= 1;
    }
  }

  async function unmark(contentKey: string): Promise<void> {
    const marker = markers.get(contentKey);
    if (marker === undefined) return;
    markers.delete(contentKey);
    await store.remove([marker]);
  }

  async function* listKeys(tenant: string, { order, after, limit, purpose, signal }: FileQuery): AsyncIterable<string> {
    const prefix = keys.files(tenant);
    const cursor = after === null ? null : keys.file(tenant, after);
    if (order === 'desc') {
      // With a purpose nobody knows how many keys a page takes.
      const pageSize = purpose === null ? Math.min(limit + 1, 1000) : 1000;
      for await (const { key } of store.list(prefix, { startAfter: cursor ?? '', pageSize })) {
        signal?.throwIfAborted();
        yield key;
      }
      return;
    }
    // Buckets list forwards only, and forwards is newest first.
    const ascending: string[] = [];
    for await (const { key } of store.list(prefix)) {
      signal?.throwIfAborted();
      if (cursor !== null && key >= cursor) break;
      ascending.push(key);
    }
    yield* ascending.reverse();
  }

  return {
    get,
    isDeleted,

    async beginContent(tenant, id) {
      const key = keys.content(tenant, id);
      const nonce = newNonce();
      const writer = createMultipartWriter({ store, key, nonce, parts, keepMarker: true });
      return {
        get bytes() {
          return writer.bytes;
        },
        write: writer.write,
        append: writer.append,
        abort: writer.abort,
        async complete() {
          await writer.complete();
          markers.set(key, keys.upload(nonce));
        },
      };
    },

    openJoined: async (tenant, id, batchId) => {
      const key = keys.content(tenant, id);
      const onComplete = (marker: string) => void markers.set(key, marker);
      return await openJoinedContent({ store, newNonce, parts, limits: joinLimits, key, stateKey: keys.joined(batchId, id), onComplete });
    },

    async createRecord(tenant, file) {
      const [key, contentKey] = [keys.file(tenant, file.id), keys.content(tenant, file.id)];
      let result: 'created' | 'exists' = 'exists';
      if (!(await isDeleted(tenant, file.id))) result = await createOnce(key, file);
      // Asked again, because a deletion begins with the tombstone: one that removed a record before ours came is seen now.
      if (await isDeleted(tenant, file.id)) {
        result = 'exists';
        await store.remove([key]);
        void removeContent(tenant, file);
      }
      // The record stands, and the sweep takes a marker that is left.
      await unmark(contentKey).catch((error: unknown) => onBytesLeft(contentKey, error));
      return result;
    },

    async dropContent(tenant, id) {
      const key = keys.content(tenant, id);
      await store.remove([key]);
      await unmark(key);
    },

    async openContent(tenant, id, range) {
      return await store.open(keys.content(tenant, id), range);
    },

    async list(tenant, query) {
      const { after, limit, purpose } = query;
      if (after !== null) {
        const known = await Promise.all([store.stat(keys.file(tenant, after)), store.stat(keys.tombstone(tenant, after))]);
        if (known.every((found) => found === null)) return 'unknown_cursor';
      }
      let bytesLeft = PAGE_BYTES;
      const isEnough = ({ filename }: File) => (bytesLeft -= ENTRY_BYTES + Buffer.byteLength(filename)) < 0;
      const found = await firstMapped(
        listKeys(tenant, query),
        // With a purpose most records may be of another one.
        { count: limit + 1, limit: READS_AT_A_TIME, atLeast: purpose === null ? 1 : READS_AT_A_TIME, isEnough },
        async (key) => {
          const file = records.get(key) ?? (await read(key));
          return file !== null && isVisible(file) && (purpose === null || file.purpose === purpose) ? file : null;
        },
      );
      // The last one that was found is the first of the next page.
      const isCut = found.length > limit || bytesLeft < 0;
      return { data: isCut ? found.slice(0, Math.max(1, found.length - 1)) : found, hasMore: isCut };
    },

    storedBytes: async (tenant) => await bytesBelow(store, keys.contents(tenant)),

    async delete(tenant, id) {
      const file = await get(tenant, id);
      if (file === null) return false;
      await store.create(keys.tombstone(tenant, id), Buffer.alloc(0));
      await store.remove([keys.file(tenant, id), ...(file.purpose === 'batch_output' ? indexKeys(tenant, id) : [])]);
      void removeContent(tenant, file);
      return true;
    },
  };
}
