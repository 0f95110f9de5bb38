import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { Extent } from './extents.ts';

/** Hashed and written at a time: longer, and hashing would hold up the event loop. */
const WRITTEN_BYTES = 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** What is read ahead of the reader of a stream. */
const AHEAD_BYTES = 512 * 1024;
/** The file of a write that is under way is younger: it is named as soon as it is on the disk. */
const ORPHAN_AGE_MS = 60_000;

/** Files with the bytes of large contents. A file is written once, under a random name, and never changed. */
export interface ContentFiles {
  /** Writes a file, which is on the disk when this resolves. `etag` is its MD5 in hex. */
  write(body: Buffer): Promise<{ file: string; etag: string }>;
  /** Removes files, those that are not there excepted. */
  remove(files: readonly string[]): Promise<void>;
  /** Opens a file; throws `ENOENT` if it is not there. */
  open(file: string): Promise<FileHandle>;
  /** Reads extents into memory, one after the other. */
  read(extents: readonly Extent[]): Promise<Buffer>;
  /** Streams extents. `first` is the file of the first one, opened already; the stream closes it. */
  stream(extents: readonly Extent[], first: FileHandle, toError: (error: unknown) => Error): Readable;
  /** Files that are old enough to be orphans if no content names them. */
  listOld(): Promise<string[]>;
}

/** `syncFolder` is replaced by a test. */
export function createContentFiles(folder: string, { syncFolder = syncPath } = {}): ContentFiles {
  const files: ContentFiles = {
    async write(body) {
      const file = randomBytes(16).toString('hex');
      const hash = createHash('md5');
      const handle = await open(join(folder, file), 'wx');
      try {
        for (let at = 0; at < body.length; at += WRITTEN_BYTES) {
          const some = body.subarray(at, at + WRITTEN_BYTES);
          const writing = handle.writeFile(some);
          hash.update(some);
          await writing;
        }
        await handle.sync();
      } catch (error) {
        await handle.close();
        await files.remove([file]);
        throw error;
      }
      await handle.close();
      // The file's name is on the disk only once its folder is.
      await syncFolder(folder);
      return { file, etag: hash.digest('hex') };
    },

    async remove(names) {
      await Promise.all(names.map(async (file) => await unlink(join(folder, file)).catch(() => undefined)));
    },

    open: async (file) => await open(join(folder, file), 'r'),

    async read(extents) {
      const body = Buffer.allocUnsafe(extents.reduce((sum, { bytes }) => sum + bytes, 0));
      let filled = 0;
      for (const { file, start, bytes } of extents) {
        const handle = await files.open(file);
        try {
          for (let at = 0; at < bytes;) {
            const { bytesRead } = await handle.read(body, filled + at, bytes - at, start + at);
            if (bytesRead === 0) throw new Error(`the content file ${file} is too short`);
            at += bytesRead;
          }
        } finally {
          await handle.close();
        }
        filled += bytes;
      }
      return body;
    },

    stream: (extents, first, toError) => streamExtents(files, extents, first, toError),

    async listOld() {
      const names = await readdir(folder);
      const old: string[] = [];
      for (const file of names) {
        const found = await stat(join(folder, file)).catch(() => null);
        if (found !== null && found.mtimeMs < Date.now() - ORPHAN_AGE_MS) old.push(file);
      }
      return old;
    },
  };
  return files;
}

function streamExtents(
  files: Pick<ContentFiles, 'open'>,
  extents: readonly Extent[],
  first: FileHandle,
  toError: (error: unknown) => Error,
): Readable {
  let handle: FileHandle | null = first;
  let index = 0;
  let at = 0;

  async function readSome(): Promise<Buffer | null> {
    let extent = extents[index];
    if (extent !== undefined && at === extent.bytes) {
      await handle?.close();
      handle = null;
      [index, at, extent] = [index + 1, 0, extents[index + 1]];
    }
    if (extent === undefined) return null;
    handle ??= await files.open(extent.file);
    const chunk = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, extent.bytes - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, extent.start + at);
    if (bytesRead === 0) throw new Error(`the content file ${extent.file} is too short`);
    at += bytesRead;
    return chunk.subarray(0, bytesRead);
  }

  async function close(error: Error | null, done: (error: Error | null) => void): Promise<void> {
    await reading;
    await handle?.close().catch(() => undefined);
    done(error);
  }

  let reading: Promise<void> = Promise.resolve();
  const body = new Readable({
    highWaterMark: AHEAD_BYTES,
    read() {
      reading = readSome().then(
        (chunk) => void body.push(chunk),
        (error: unknown) => void body.destroy(toError(error)),
      );
    },
    destroy(error, done) {
      void close(error, done);
    },
  });
  return body;
}

/** Makes a folder and those above it that are missing, and waits until all of them are on the disk. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; ; made = dirname(made)) {
    await syncPath(dirname(made));
    if (made === first || made === dirname(made)) return;
  }
}

/** Waits until the entries of a folder are on the disk. */
export async function syncPath(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
