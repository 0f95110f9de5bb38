import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { CommandError } from './command-error.ts';
import { fileReason } from './file-reason.ts';

/** What comes next in one of the files. */
export interface Piece {
  path: string;
  content: string | Uint8Array;
}

const BLOCK_BYTES = 256 * 1024;

/**
 * Writes files from one stream of pieces. Each one appears complete or not at all. Answers how many bytes each path has. A file without
 * content appears only with `keepsEmpty`; without it, `force` removes what was at its path.
 */
export async function saveTogether(
  pieces: AsyncIterable<Piece>,
  { paths, force, keepsEmpty = false }: { paths: readonly string[]; force: boolean; keepsEmpty?: boolean },
): Promise<Map<string, number>> {
  const written: string[] = [];
  try {
    for (const path of force ? [] : paths) {
      // Claims the name, so that an existing file is found before a long download.
      await (await open(path, 'wx')).close();
      written.push(path);
    }
    written.push(...paths.map(partOf));
    const sizes = await writeParts(pieces, paths);
    for (const [path, size] of sizes) {
      if (size > 0 || keepsEmpty) await rename(partOf(path), path);
      else for (const each of [partOf(path), path]) await rm(each, { force: true });
    }
    return sizes;
  } catch (error) {
    for (const path of written) await rm(path, { force: true });
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'EEXIST') {
      const there = error instanceof Error && 'path' in error ? String(error.path) : paths.join(' or ');
      throw new CommandError(`${there} is there already. Give --force to replace it, or --output for another place.`);
    }
    const reason = fileReason(error);
    throw reason === null ? error : new CommandError(`${paths.join(' and ')} cannot be written: ${reason}.`, { cause: error });
  }
}

/** Another name than that of a download that can be continued. */
function partOf(path: string): string {
  return `${path}.merged`;
}

async function writeParts(pieces: AsyncIterable<Piece>, paths: readonly string[]): Promise<Map<string, number>> {
  await using stack = new AsyncDisposableStack();
  const parts = new Map<string, Part>();
  for (const path of paths) parts.set(path, createPart(stack.use(await open(partOf(path), 'w'))));
  for await (const { path, content } of pieces) await parts.get(path)?.add(content);
  for (const part of parts.values()) await part.flush();
  return new Map([...parts].map(([path, part]) => [path, part.bytes()]));
}

interface Part {
  add(content: string | Uint8Array): Promise<void>;
  flush(): Promise<void>;
  bytes(): number;
}

/** Collects lines to blocks, because a write for each of them would be slow. */
function createPart(handle: FileHandle): Part {
  let [block, held, total]: [Uint8Array[], number, number] = [[], 0, 0];
  const flush = async () => {
    const bytes = Buffer.concat(block);
    [block, held] = [[], 0];
    await handle.appendFile(bytes);
  };
  return {
    async add(content) {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      block.push(bytes);
      held += bytes.length;
      total += bytes.length;
      if (held >= BLOCK_BYTES) await flush();
    },
    flush,
    bytes: () => total,
  };
}
