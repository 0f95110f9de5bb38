import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ByteRange, type ListedObject, type ObjectStore, ObjectStoreError } from '../object-store.ts';
import { createContentFiles, makeFolder, syncPath } from './content-files.ts';
import { cutExtents } from './extents.ts';
import { createReads, endOf, type FoundObject, type KeyRange } from './reads.ts';
import { createTables } from './schema.ts';
import { isDiskFull, openDatabase, whenFree } from './sqlite.ts';
import { createWriter } from './writer.ts';
import type { NewContent, Write } from './writes.ts';

/** Larger bodies are written once, to a file; in the database they would be written to its log first. */
const SMALL_BYTES = 64 * 1024;
const PAGE_KEYS = 1000;
const KEYS_PER_REMOVE = 1000;
const FILES_PER_SWEEP = 500;
/** Tries of a call that met a change by another: an object that was replaced between its lookup and its file. */
const TRIES = 10;
const SWEEP_EVERY_MS = 3_600_000;

const LOCK_MS = 30_000;

interface EmbeddedOptions {
  folder: string;
  /** Longest wait of a write for the other processes, after which it fails; 30 s by default. */
  lockMs?: number;
  nowMs?: () => number;
}

/** The database of a store in this folder. */
export function databasePath(folder: string): string {
  return join(folder, 'objects.db');
}

/**
 * An `ObjectStore` in a folder of this machine, for all of its processes: SQLite has keys, tags and small bodies, and files have
 * the large ones. The folder must be on a local disk. What a call has written survives a loss of power from its answer on.
 */
export function createEmbeddedObjectStore({ folder, lockMs = LOCK_MS, nowMs = Date.now }: EmbeddedOptions): ObjectStore {
  const path = databasePath(folder);
  const contentFolder = join(folder, 'content');
  const files = createContentFiles(contentFolder);
  const reads = createReads(path);
  const writer = createWriter({ path, folder: contentFolder, lockMs });
  let sweeping: NodeJS.Timeout | undefined;

  async function run<T>(operation: string, key: string, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call();
      } catch (error) {
        if (attempt < TRIES && mayPass(error)) continue;
        throw toObjectStoreError(operation, key, error);
      }
    }
  }

  /** Stores a body, and removes its file unless the store then names it. `isKept` reads that from the answer. */
  async function writeContent(
    body: Buffer,
    {
      inFile,
      write,
      isKept,
    }: { inFile: boolean; write: (content: NewContent, etag: string) => Write; isKept: (answer: string) => boolean },
  ): Promise<string> {
    if (!inFile) return await writer.write(write({ body: new Uint8Array(body) }, createHash('md5').update(body).digest('hex')));
    const { file, etag } = await files.write(body);
    let answer: string | null = null;
    try {
      return (answer = await writer.write(write({ file }, etag)));
    } finally {
      if (answer === null || !isKept(answer)) await files.remove([file]);
    }
  }

  async function putIf(
    operation: string,
    key: string,
    body: Buffer,
    condition: Extract<Write, { op: 'put' }>['condition'],
  ): Promise<boolean> {
    return await run(operation, key, async () => {
      const size = body.length;
      const write = (content: NewContent, etag: string): Write => ({ op: 'put', key, etag, size, content, condition, nowMs: nowMs() });
      const answer = await writeContent(body, { inFile: size > SMALL_BYTES, write, isKept: (said) => said === 'done' });
      return answer === 'done';
    });
  }

  async function sendPart(key: string, uploadId: string, part: number, body: Buffer): Promise<string> {
    const write = (content: NewContent, etag: string): Write => {
      return { op: 'putPart', key, uploadId, part, etag, size: body.length, file: 'file' in content ? content.file : '' };
    };
    return await writeContent(body, { inFile: true, write, isKept: () => true });
  }

  /** A range as far as there is something; throws when it begins after the end. */
  function within({ size }: FoundObject, range: ByteRange | undefined): ByteRange {
    if (range === undefined) return { start: 0, end: size - 1 };
    if (range.start >= size) throw new Error(`the range begins at byte ${range.start} of ${size} (InvalidRange)`);
    return { start: range.start, end: Math.min(range.end, size - 1) };
  }

  async function* pages(prefix: string, from: KeyRange, limit: number): AsyncGenerator<ListedObject[]> {
    for (let range = from; ;) {
      const page = await run('list', prefix, async () => await reads.page(range, limit));
      yield page;
      const last = page.at(-1);
      if (page.length < limit || last === undefined) return;
      range = { ...from, from: last.key, after: true };
      await nextTurn();
    }
  }

  /** Removes files that a process wrote and did not live to name. */
  async function sweep(): Promise<void> {
    const old = await files.listOld();
    for (let at = 0; at < old.length && sweeping !== undefined; at += FILES_PER_SWEEP) {
      const orphans = await reads.unnamed(old.slice(at, at + FILES_PER_SWEEP));
      if (orphans.length > 0) await writer.write({ op: 'removeOrphans', files: orphans });
      await nextTurn();
    }
  }

  return {
    async get(key, range) {
      return await run('get', key, async () => {
        const found = await reads.object(key);
        if (found === null) return null;
        const { start, end } = within(found, range);
        const body =
          found.body === null ? await files.read(cutExtents(found.extents, { start, end })) : found.body.subarray(start, end + 1);
        return { body, etag: found.etag };
      });
    },

    async open(key, range) {
      return await run('open', key, async () => {
        const found = await reads.object(key);
        if (found === null) return null;
        const { size } = found;
        const { start, end } = within(found, range);
        if (found.body !== null) {
          const bytes = found.body.subarray(start, end + 1);
          return { body: Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false }), size };
        }
        const extents = cutExtents(found.extents, { start, end });
        const [extent] = extents;
        if (extent === undefined) return { body: Readable.from([]), size };
        const first = await files.open(extent.file);
        return { body: files.stream(extents, first, (error) => toObjectStoreError('open', key, error)), size };
      });
    },

    stat: async (key) => await run('stat', key, async () => await reads.stat(key)),
    put: async (key, body) => void (await putIf('put', key, body, null)),
    create: async (key, body) => ((await putIf('create', key, body, 'absent')) ? 'created' : 'exists'),
    replace: async (key, body, etag) => ((await putIf('replace', key, body, { etag })) ? 'replaced' : 'changed'),

    async *list(prefix, { startAfter = '', pageSize = PAGE_KEYS } = {}) {
      const end = endOf(prefix);
      const from = startAfter < prefix ? { from: prefix, after: false, end } : { from: startAfter, after: true, end };
      for await (const page of pages(prefix, from, Math.min(pageSize, PAGE_KEYS))) yield* page;
    },

    async *listFolders(prefix) {
      const end = endOf(prefix);
      for (let range: KeyRange = { from: prefix, after: false, end }; ;) {
        const from = range;
        const [object] = await run('list', prefix, async () => await reads.page(from, 1));
        if (object === undefined) return;
        const slash = object.key.indexOf('/', prefix.length);
        const folder = object.key.slice(0, slash + 1);
        if (slash !== -1) yield folder.slice(prefix.length);
        range = slash === -1 ? { from: object.key, after: true, end } : { from: endOf(folder) ?? folder, after: false, end };
        await nextTurn();
      }
    },

    async remove(keys) {
      for (let at = 0; at < keys.length; at += KEYS_PER_REMOVE) {
        const some = keys.slice(at, at + KEYS_PER_REMOVE);
        await run('remove', some[0] ?? '', async () => await writer.write({ op: 'remove', keys: some }));
      }
    },

    async startMultipart(key) {
      const uploadId = randomUUID();
      await run('startMultipart', key, async () => await writer.write({ op: 'startUpload', key, uploadId, nowMs: nowMs() }));
      return uploadId;
    },

    uploadPart: async (key, uploadId, part, body) => await run('uploadPart', key, async () => await sendPart(key, uploadId, part, body)),

    async copyPart(key, uploadId, part, source, range) {
      return await run('copyPart', key, async () => {
        const found = await reads.object(source);
        // A body in the database has no file that the part could name.
        if (found?.body) {
          const { start, end } = range ?? { start: 0, end: found.size - 1 };
          if (end >= found.size) throw new Error(`${source} has only ${found.size} bytes (InvalidRange)`);
          return await sendPart(key, uploadId, part, found.body.subarray(start, end + 1));
        }
        return await writer.write({ op: 'copyPart', key, uploadId, part, source, range: range ?? null });
      });
    },

    listParts: async (key, uploadId) => await run('listParts', key, async () => await reads.parts(key, uploadId)),

    async completeMultipart(key, uploadId, parts) {
      await run('completeMultipart', key, async () => await writer.write({ op: 'complete', key, uploadId, parts, nowMs: nowMs() }));
    },

    async abortMultipart(key, uploadId) {
      await run('abortMultipart', key, async () => await writer.write({ op: 'abort', key, uploadId }));
    },

    listMultipart: async (key) => await run('listMultipart', key, async () => await reads.uploads(key)),
    ping: async () => await run('ping', folder, async () => await reads.check()),

    async ensureBucket() {
      await run('ensureBucket', folder, async () => {
        await makeFolder(contentFolder);
        await whenFree(() => {
          const database = openDatabase(path);
          try {
            createTables(database);
          } finally {
            database.close();
          }
        });
        await syncPath(folder);
      });
      if (sweeping !== undefined) return;
      // A sweep that fails leaves files that the next one finds.
      const sweepQuietly = () => void sweep().catch(() => undefined);
      sweeping = setInterval(sweepQuietly, SWEEP_EVERY_MS).unref();
      sweepQuietly();
    },

    close() {
      clearInterval(sweeping);
      sweeping = undefined;
      reads.close();
      writer.close();
    },
  };
}

function mayPass(error: unknown): boolean {
  return ['NoSuchFile', 'NoExtents', 'ENOENT'].includes(codeOf(error) ?? '');
}

function toObjectStoreError(operation: string, key: string, error: unknown): ObjectStoreError {
  const isFull = isDiskFull(error) || ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '');
  return error instanceof ObjectStoreError ? error : new ObjectStoreError(operation, key, error, isFull);
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
