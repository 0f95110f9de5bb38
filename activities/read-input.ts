import type { FileStore } from '../src/storage/file-store.ts';

/** A stretch of an input file, in bytes. */
export interface InputRange {
  offset: number;
  length: number;
}

/** Reads a stretch of an input file into memory. Throws when the bytes are gone or too few. */
export async function readInput(
  files: Pick<FileStore, 'openContent'>,
  { tenant, inputFileId }: { tenant: string; inputFileId: string },
  { offset, length }: InputRange,
): Promise<Buffer> {
  const found = await files.openContent(tenant, inputFileId, { start: offset, end: offset + length - 1 });
  if (found === null) throw new Error(`the content of input file ${inputFileId} is gone`);
  const chunks: Buffer[] = [];
  for await (const chunk of found.body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length !== length) throw new Error(`input file ${inputFileId} holds ${bytes.length} of the ${length} bytes at ${offset}`);
  return bytes;
}
