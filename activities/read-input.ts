import type { FileStore } from '../src/storage/file-store.ts';

/** A stretch of an input file, in bytes. */
export interface InputRange {
  offset: number;
  length: number;
}

/** The bucket has no content of the input file. It is consistent, so no retry finds it: somebody has removed it by hand or by a rule. */
export class InputGoneError extends Error {
  override readonly name = 'InputGoneError';
}

/**
 * Reads a stretch of an input file into memory, and holds its bytes once. Throws `InputGoneError` when the file is gone, and another
 * error when it is too short.
 */
export async function readInput(
  files: Pick<FileStore, 'openContent'>,
  { tenant, inputFileId }: { tenant: string; inputFileId: string },
  { offset, length }: InputRange,
): Promise<Buffer> {
  const found = await files.openContent(tenant, inputFileId, { start: offset, end: offset + length - 1 });
  if (found === null) throw new InputGoneError(`the content of input file ${inputFileId} is gone`);
  // Not from the pool of Node, because a short stretch that is kept would keep all others of its pool in memory.
  const bytes = Buffer.allocUnsafeSlow(length);
  let read = 0;
  for await (const chunk of found.body) {
    bytes.set(chunk.subarray(0, length - read), read);
    read += chunk.length;
  }
  if (read !== length) throw new Error(`input file ${inputFileId} holds ${read} of the ${length} bytes at ${offset}`);
  return bytes;
}
