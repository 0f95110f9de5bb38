import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import { fileReason } from './file-reason.ts';
import { writeAt } from './save-file.ts';
import type { OnBytes } from './upload-body.ts';

const LINE_BREAK = Buffer.from('\n');

/**
 * Downloads the contents of files one behind the other to a path, where they appear complete or not at all. What came before a failure is
 * kept in `path.part`, and a later call goes on from there.
 */
export async function saveJoined(
  client: Pick<ApiClient, 'getFile' | 'readContent'>,
  { ids, path, force, onBytes = () => {} }: { ids: readonly string[]; path: string; force: boolean; onBytes?: OnBytes },
): Promise<'saved' | 'was there'> {
  const sizes: number[] = [];
  for (const id of ids) sizes.push((await client.getFile(id)).bytes);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const part = `${path}.part`;
  try {
    if (!force && (await isThere(path, total, ids.length))) return 'was there';
    if (force) await rm(part, { force: true });
    {
      await using handle = await open(part, constants.O_RDWR | constants.O_CREAT, 0o666);
      const had = (await handle.stat()).size;
      let [start, done] = [0, 0];
      for (const [at, id] of ids.entries()) {
        const size = sizes[at] ?? 0;
        let written = Math.min(size, Math.max(0, had - start));
        if (written < size) {
          for await (const chunk of client.readContent(id, written)) {
            await writeAt(handle, chunk, start + written);
            written += chunk.length;
            onBytes(done + written, total);
          }
        }
        done += size;
        start += written;
        start += await endLine(handle, start);
      }
      await handle.truncate(start);
    }
    await rename(part, path);
    return 'saved';
  } catch (error) {
    const reason = fileReason(error);
    throw reason === null ? error : new CommandError(`${path} cannot be written: ${reason}.`, { cause: error });
  }
}

/** Whether what lies at the path has the size of all contents, with the line breaks that may have been added. Throws where it has not. */
async function isThere(path: string, total: number, files: number): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return false;
  if (found.isFile() && found.size >= total && found.size <= total + files) return true;
  throw new CommandError(`${path} is there already, with other content. Give --force to replace it, or --output for another place.`);
}

/** A file that ends without a line break would run into the next one. Answers how many bytes were added. */
async function endLine(handle: FileHandle, end: number): Promise<number> {
  if (end === 0) return 0;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, end - 1);
  if (buffer.equals(LINE_BREAK)) return 0;
  await writeAt(handle, LINE_BREAK, end);
  return LINE_BREAK.length;
}
