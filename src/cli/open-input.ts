import { randomBytes } from 'node:crypto';
import { addAbortListener } from 'node:events';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { CommandError } from './command-error.ts';
import { fileReason } from './file-reason.ts';

/** An input that can be read more than once: a file, or a copy of what cannot be read twice. Disposing it removes the copy. */
export interface OpenInput extends AsyncDisposable {
  /** How messages call it. */
  readonly name: string;
  /** What the API is told as file name. */
  readonly filename: string;
  /** Where its bytes are. */
  readonly path: string;
  /** Where it begins there; 0 unless it is a part of a file. */
  readonly start?: number;
  readonly bytes: number;
}

const GZIP = [0x1f, 0x8b, 0x08];

/**
 * Opens FILE, or standard input for `-`. Pipes (also `/dev/stdin` and `<(…)`) are copied to a temporary file because an input is
 * read several times: for the first line, and for every try of the upload. Compressed input (gzip) is unpacked on the way.
 */
export async function openInput(file: string, { stdin, signal }: { stdin: NodeJS.ReadStream; signal: AbortSignal }): Promise<OpenInput> {
  const name = file === '-' ? 'standard input' : file;
  try {
    if (file === '-' || file === '/dev/stdin' || file === '/dev/fd/0')
      return await copied({ source: stdin, name, filename: 'stdin.jsonl', signal });
    const found = await stat(file);
    if (found.isDirectory()) throw new CommandError(`${name} cannot be read: it is a folder. Give a file of requests, one per line.`);
    if (!found.isFile()) return await copied({ source: createReadStream(file), name, filename: 'input.jsonl', signal });
    const isGzip = (await firstBytes(file, GZIP.length)).equals(Buffer.from(GZIP));
    if (isGzip) return await copied({ source: createReadStream(file), name, filename: basename(file).replace(/\.gz$/i, ''), signal });
    return { name, filename: basename(file), path: file, bytes: found.size, [Symbol.asyncDispose]: async () => await Promise.resolve() };
  } catch (error) {
    signal.throwIfAborted();
    const reason = fileReason(error);
    throw reason === null ? error : new CommandError(`${name} cannot be read: ${reason}.`, { cause: error });
  }
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  await using handle = await open(path);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(count), 0, count, 0);
  return buffer.subarray(0, bytesRead);
}

/** Copies a stream to a temporary file that only this user can read. */
async function copied(given: { source: Readable; name: string; filename: string; signal: AbortSignal }): Promise<OpenInput> {
  const { source, name, filename, signal } = given;
  const path = join(tmpdir(), `nightshift-${randomBytes(8).toString('hex')}.jsonl`);
  const remove = async () => await rm(path, { force: true });
  // Ends a read that waits for a first byte.
  using _ending = addAbortListener(signal, () => source.destroy());
  try {
    const target = (await open(path, 'wx', 0o600)).createWriteStream();
    const { head, rest } = await peek(source, GZIP.length);
    const isGzip = head.subarray(0, GZIP.length).equals(Buffer.from(GZIP));
    if (isGzip) await pipeline(rest, createGunzip(), target, { signal });
    else await pipeline(rest, target, { signal });
    return { name, filename, path, bytes: target.bytesWritten, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    signal.throwIfAborted();
    const { path: failed, syscall } = error as NodeJS.ErrnoException;
    if (failed === path || syscall === 'write')
      throw new CommandError(
        `A copy of ${name} cannot be written to ${tmpdir()}: ${fileReason(error) ?? 'unknown reason'}. Set TMPDIR to another folder.`,
        { cause: error },
      );
    if (isZlibError(error)) throw new CommandError(`${name} cannot be unpacked: it is no complete gzip file.`, { cause: error });
    throw error;
  }
}

/** The first chunk of at least `count` bytes, and a stream of everything including it. */
async function peek(source: Readable, count: number): Promise<{ head: Buffer; rest: AsyncGenerator<Buffer> }> {
  const chunks = (source as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let isDone = false;
  while (!isDone && head.length < count) {
    const next = await chunks.next();
    isDone = next.done === true;
    if (next.done !== true) head = Buffer.concat([head, next.value]);
  }
  async function* rest() {
    if (head.length > 0) yield head;
    while (!isDone) {
      const next = await chunks.next();
      if (next.done === true) return;
      yield next.value;
    }
  }
  return { head, rest: rest() };
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^Z_|^ERR_(ZLIB|TRAILING)/.test(error.code);
}
