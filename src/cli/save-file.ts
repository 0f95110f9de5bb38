import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import { fileReason } from './file-reason.ts';
import { ContentIsShorter } from './read-content.ts';
import type { OnBytes } from './upload-body.ts';

export interface SaveOptions {
  id: string;
  path: string;
  /** Where the bytes are kept until all of them are there; a later call goes on from them. */
  part: string;
  /** Replace what is at `path`. */
  force: boolean;
  onBytes?: OnBytes;
}

/**
 * Downloads a file's content to a path, where it appears complete or not at all. What came before a failure is kept in `part`.
 * Says whether the complete file was there already.
 */
export async function saveFile(client: Pick<ApiClient, 'getFile' | 'readContent'>, options: SaveOptions): Promise<'saved' | 'was there'> {
  const { id, path, part, force } = options;
  try {
    if (!force && (await isThere(client, id, path))) return 'was there';
    if (force) await rm(part, { force: true });
    await fetchInto(client, options).catch(async (error: unknown) => {
      if (!(error instanceof ContentIsShorter)) throw error;
      await rm(part, { force: true });
      await fetchInto(client, options);
    });
    await rename(part, path);
    return 'saved';
  } catch (error) {
    const reason = fileReason(error);
    throw reason === null ? error : new CommandError(`${path} cannot be written: ${reason}.`, { cause: error });
  }
}

/** Whether all of the content lies at `path`; throws when something else lies there. */
async function isThere(client: Pick<ApiClient, 'getFile'>, id: string, path: string): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return false;
  const expected = found.isFile() ? await client.getFile(id).catch(() => null) : null;
  if (expected !== null && expected.bytes === found.size) return true;
  throw new CommandError(`${path} is there already, with other content. Give --force to replace it, or --output for another place.`);
}

async function fetchInto(client: Pick<ApiClient, 'readContent'>, { id, part, onBytes = () => {} }: SaveOptions): Promise<void> {
  // No truncation and explicit positions: two commands that download the same file write the same bytes to the same places.
  await using handle = await open(part, constants.O_WRONLY | constants.O_CREAT, 0o666);
  let at = (await handle.stat()).size;
  let total: number | null = null;
  for await (const chunk of client.readContent(id, at, (bytes) => (total = bytes))) {
    await writeAt(handle, chunk, at);
    at += chunk.length;
    onBytes(at, total ?? at);
  }
}

/** Writes all of a chunk. */
export async function writeAt(handle: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.length;) done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
}

/** Makes a folder if it is missing, and proves that files can be written there. Throws the reason when they cannot. */
export async function ensureFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder);
    const probe = join(folder, `.nightshift-${randomBytes(8).toString('hex')}`);
    await (await open(probe, 'wx')).close();
    await rm(probe, { force: true });
  } catch (error) {
    const reason = fileReason(error);
    if (reason === null) throw error;
    throw new CommandError(`Results cannot be written to ${folder}: ${reason}. Give another folder with --output.`, { cause: error });
  }
}

/** Node's recursive `mkdir` never returns where a file system takes no folders, as under `/proc`. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(folder)).isDirectory()) return;
    if (code === 'EEXIST') throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR', syscall: 'mkdir' });
    const parent = dirname(folder);
    if (code !== 'ENOENT' || parent === folder || (await isFolder(parent))) throw error;
    await makeFolder(parent);
    await mkdir(folder);
  }
}

/** Whether a folder is there. */
export async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
