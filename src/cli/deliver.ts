import { pipeline } from 'node:stream/promises';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import { describeBatch } from './describe-batch.ts';
import { describeFailedLines } from './failed-lines.ts';
import type { Output } from './output.ts';
import { ensureFolder } from './save-file.ts';
import { type SavedResults, saveResults } from './save-results.ts';
import { lines } from './terminal-text.ts';
import { createTransfers } from './transfer-line.ts';
import type { Batch } from '../domain/batch.ts';

/** Where results go: a folder that can be written, or stdout. */
export interface Delivery {
  isStdout: boolean;
  folder: string;
}

/** Reads `--output`. A folder is made, and tried, at once: results of hours must not fail on it. */
export async function openDelivery(target: string): Promise<Delivery> {
  if (target === '-') return { isStdout: true, folder: '' };
  await ensureFolder(target);
  return { isStdout: false, folder: target };
}

/** Downloads the files of a batch that has ended, and prints their paths. With stdout as target, prints the output file itself. */
export async function deliver(
  client: ApiClient,
  batch: Batch,
  given: { delivery: Delivery; force: boolean; asJson: boolean; output: Output; describe: boolean },
): Promise<SavedResults> {
  const { delivery, force, asJson, output, describe } = given;
  if (delivery.isStdout) {
    if (describe) output.note(describeBatch(batch).trimEnd());
    if (batch.output_file_id !== null) await printContent(client, batch.output_file_id, output);
    if (batch.error_file_id !== null)
      output.note(`The lines without a result are in the error file: nightshift files get ${batch.error_file_id} -o -`);
    return { output: null, error: null };
  }
  const saved = await saveResults(client, batch, { folder: delivery.folder, force, transfers: createTransfers(output) });
  if (describe) output.note(describeBatch(batch).trimEnd());
  if (saved.error !== null && (batch.nightshift?.failures ?? []).length === 0)
    for (const each of await describeFailedLines(saved.error)) output.note(`failed      ${each}`);
  if (asJson) output.printJson({ ...batch, output_path: saved.output, error_path: saved.error });
  else for (const path of [saved.output, saved.error]) if (path !== null) output.print(`${path}\n`);
  return saved;
}

/** Streams a file's content to stdout. */
export async function printContent(client: Pick<ApiClient, 'readContent'>, id: string, output: Output): Promise<void> {
  await printStream(client.readContent(id, 0), output);
}

/** Streams content to stdout: as it is to a pipe or a file, made safe for a terminal. */
export async function printStream(content: AsyncIterable<string | Uint8Array>, output: Pick<Output, 'stdout' | 'isClosed'>): Promise<void> {
  const { stdout, isClosed } = output;
  if (isClosed) return;
  try {
    await pipeline(stdout.isTTY ? safe(content) : content, stdout, { end: false });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // The reader has seen enough, as `head` does.
    if (code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE') return;
    if (error instanceof Error && error.name === 'ContentIsShorter') throw new CommandError('The file became shorter while it was read.');
    throw error;
  }
}

async function* safe(content: AsyncIterable<string | Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  for await (const chunk of content) yield lines(typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }));
  yield lines(decoder.decode());
}
