import { createLineSplitter } from '../domain/jsonl.ts';
import { readRequestLine } from '../domain/request-line.ts';
import type { ContentWriter } from '../storage/file-store.ts';

/** What became of a line that has no answer, or none that is a success. */
export const RETRY_STATUSES = ['failed', 'expired', 'cancelled'] as const;
export type RetryStatus = (typeof RETRY_STATUSES)[number];

const LINE_BREAK = Buffer.from('\n');
const STATUS_OF: Readonly<Record<string, RetryStatus>> = { batch_expired: 'expired', batch_cancelled: 'cancelled' };

/**
 * Copies the lines of an input whose custom_ids stand in an error file with one of these statuses, byte for byte and in their order; answers
 * how many. Both files are read once, side by side, because the error file has the order of the input. Throws where it has not.
 */
export async function copyLines(given: {
  input: AsyncIterable<Buffer>;
  errors: AsyncIterable<Buffer>;
  statuses: readonly RetryStatus[];
  maxLineBytes: number;
  to: Pick<ContentWriter, 'write'>;
}): Promise<number> {
  const { statuses, to } = given;
  const wanted = customIdsOf(given.errors, statuses, given.maxLineBytes);
  let copied = 0;
  try {
    let next = await wanted.next();
    for await (const line of linesOf(given.input, given.maxLineBytes)) {
      if (next.done === true) break;
      if (readRequestLine(line).customId !== next.value) continue;
      await to.write(line);
      await to.write(LINE_BREAK);
      copied += 1;
      next = await wanted.next();
    }
    if (next.done !== true) throw new Error('the error file names a request that the input does not have, or not in this order');
    return copied;
  } finally {
    await wanted.return();
  }
}

async function* customIdsOf(
  errors: AsyncIterable<Buffer>,
  statuses: readonly RetryStatus[],
  maxLineBytes: number,
): AsyncGenerator<string, void, undefined> {
  for await (const line of linesOf(errors, maxLineBytes)) {
    const { custom_id, error } = JSON.parse(Buffer.from(line).toString());
    if (statuses.includes(STATUS_OF[String(error?.code)] ?? 'failed')) yield String(custom_id);
  }
}

async function* linesOf(body: AsyncIterable<Buffer>, maxLineBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  const splitter = createLineSplitter({ maxLineBytes });
  for await (const chunk of body) for (const { bytes } of splitter.push(chunk)) if (bytes !== null) yield bytes;
  for (const { bytes } of splitter.end()) if (bytes !== null) yield bytes;
}
