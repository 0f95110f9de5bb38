import { once } from 'node:events';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import type { Context } from './command.ts';
import { openDelivery } from './deliver.ts';
import { fileReason } from './file-reason.ts';
import { type Family, mergeResults } from './merge-results.ts';
import type { Output } from './output.ts';
import { count } from './progress-line.ts';
import { fileNameOf } from './save-results.ts';
import { isTerminal } from '../domain/batch.ts';

const BLOCK_CHARACTERS = 256 * 1024;

/** Writes the results of a batch and its retries into one file, or to stdout, and says which of them still run. */
export async function deliverFamily(
  client: ApiClient,
  family: Family,
  given: { output: string; force: boolean; json: boolean; kind: 'partial' | 'merged'; context: Context },
): Promise<void> {
  const { force, json, kind, context } = given;
  const { output } = context;
  const { root, retries } = family;
  const delivery = await openDelivery(given.output);
  for (const { id, status } of [root, ...retries]) {
    if (!isTerminal(status)) output.note(`${id} is ${status}: its lines so far are taken.`);
  }
  const lines = mergeResults(client, family);
  if (delivery.isStdout) return await printLines(lines, output);
  const path = join(delivery.folder, `${fileNameOf(root.id)}_${kind}.jsonl`);
  const written = await saveLines(lines, path, force);
  output.note(`${count(written)} of ${count(root.request_counts.total)} lines`);
  if (json) output.printJson({ ...root, path, lines: written, batches: [root, ...retries].map(({ id }) => id) });
  else output.print(`${path}\n`);
}

async function printLines(lines: AsyncIterable<string>, { stdout, isClosed, print }: Output): Promise<void> {
  if (isClosed) return;
  for await (const line of lines) {
    print(line);
    if (stdout.writableNeedDrain) await Promise.race([once(stdout, 'drain'), once(stdout, 'close')]);
    if (stdout.destroyed) return;
  }
}

/** Writes the file, which appears complete or not at all. Answers how many lines it has. */
async function saveLines(lines: AsyncIterable<string>, path: string, force: boolean): Promise<number> {
  const part = `${path}.part`;
  try {
    // Claims the name, so that an existing file is found before a long download.
    if (!force) await (await open(path, 'wx')).close();
    const written = await writeLines(lines, part);
    await rename(part, path);
    return written;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'EEXIST') throw new CommandError(`${path} is there already. Give --force to replace it, or --output for another place.`);
    await rm(part, { force: true });
    if (!force) await rm(path, { force: true });
    const reason = fileReason(error);
    throw reason === null ? error : new CommandError(`${path} cannot be written: ${reason}.`, { cause: error });
  }
}

async function writeLines(lines: AsyncIterable<string>, part: string): Promise<number> {
  await using handle: FileHandle = await open(part, 'w');
  let [written, block] = [0, ''];
  for await (const line of lines) {
    written += 1;
    block += line;
    if (block.length < BLOCK_CHARACTERS) continue;
    await handle.appendFile(block);
    block = '';
  }
  await handle.appendFile(block);
  return written;
}
