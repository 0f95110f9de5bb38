import type { PlannedLine } from '../../src/domain/plan.ts';
import type { ActivityDeps } from '../deps.ts';
import { readInput } from '../read-input.ts';

/** Most bytes of several lines that one GET reads. A longer line is read on its own. */
const BLOCK_BYTES = 256 * 1024;

/** Where the bytes of the lines come from. */
interface InputFile {
  tenant: string;
  inputFileId: string;
}

/** Bytes that all slices of a process may hold of lines that have not begun. Nothing waits for them: a line can always be read on its own. */
export interface ReadAhead {
  tryTake(bytes: number): boolean;
  giveBack(bytes: number): void;
}

/** Reads the lines of one slice. Disposing it gives back what it holds. */
export interface SliceInput extends Disposable {
  /** The bytes of a line, which share no memory with those of other lines. For each line once. */
  read(line: PlannedLine): Promise<Buffer>;
}

/** Neighbours that one GET reads. */
interface Block {
  readonly offset: number;
  readonly length: number;
  readonly lines: readonly PlannedLine[];
}

/** `maxBytes` of read-ahead. */
export function createReadAhead(maxBytes: number): ReadAhead {
  let used = 0;
  return {
    tryTake(bytes) {
      if (used + bytes > maxBytes) return false;
      used += bytes;
      return true;
    },
    giveBack(bytes) {
      used -= bytes;
    },
  };
}

/**
 * Reads exactly these lines, which are in the order of the file: neighbours come in one GET, in blocks. A line is copied out of its block, and a block
 * is dropped when its last line has been read, so that a request in flight holds the bytes of its own line only.
 */
export function openSliceInput(
  files: Pick<ActivityDeps['files'], 'openContent'>,
  file: InputFile,
  { lines, readAhead }: { lines: readonly PlannedLine[]; readAhead: ReadAhead },
): SliceInput {
  /** Of lines that were not read yet. */
  const blocks = new Map<number, ReturnType<typeof openBlock>>();
  for (const block of cutBlocks(lines)) {
    if (block.lines.length === 1) continue;
    const opened = openBlock(files, file, block, readAhead);
    for (const { line } of block.lines) blocks.set(line, opened);
  }

  return {
    async read(line) {
      const block = blocks.get(line.line);
      blocks.delete(line.line);
      return (await block?.take(line)) ?? (await readInput(files, file, line));
    },
    [Symbol.dispose]() {
      for (const block of blocks.values()) block.drop();
    },
  };
}

function openBlock(files: Pick<ActivityDeps['files'], 'openContent'>, file: InputFile, block: Block, readAhead: ReadAhead) {
  let left = block.lines.length;
  let bytes: Promise<Buffer> | null = null;
  let isDropped = false;

  function drop(): void {
    if (bytes !== null && !isDropped) readAhead.giveBack(block.length);
    isDropped = true;
    bytes = null;
  }

  return {
    drop,
    /** Null when the line must be read on its own. */
    async take({ offset, length }: PlannedLine): Promise<Buffer | null> {
      left -= 1;
      // Without read-ahead for its first line, a block would be read for fewer and fewer lines.
      if (bytes === null && !isDropped && !readAhead.tryTake(block.length)) isDropped = true;
      if (isDropped) return null;
      bytes ??= readInput(files, file, block);
      try {
        // Not from the pool of Node, which many lines share.
        const own = Buffer.allocUnsafeSlow(length);
        const start = offset - block.offset;
        own.set((await bytes).subarray(start, start + length));
        return own;
      } catch (error) {
        drop();
        throw error;
      } finally {
        if (left === 0) drop();
      }
    },
  };
}

/** At least half of the bytes of a block belong to its lines: between those of a mixed slice stand lines of other upstreams. */
function* cutBlocks(lines: readonly PlannedLine[]): Iterable<Block> {
  let block: PlannedLine[] = [];
  let [start, end, used] = [0, 0, 0];
  for (const line of lines) {
    const lineEnd = line.offset + line.length;
    const length = lineEnd - start;
    if (block.length > 0 && (length > BLOCK_BYTES || length > 2 * (used + line.length))) {
      yield { offset: start, length: end - start, lines: block };
      block = [];
    }
    if (block.length === 0) [start, used] = [line.offset, 0];
    block.push(line);
    used += line.length;
    end = lineEnd;
  }
  if (block.length > 0) yield { offset: start, length: end - start, lines: block };
}
