import { join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import type { Context } from './command.ts';
import { openDelivery, printStream } from './deliver.ts';
import { type Family, mergeResults } from './merge-results.ts';
import { count } from './progress-line.ts';
import { fileNameOf } from './save-results.ts';
import { type Piece, saveTogether } from './save-together.ts';
import { isTerminal } from '../domain/batch.ts';

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
  let lines = 0;
  async function* texts(): AsyncGenerator<string> {
    for await (const { text } of mergeResults(client, family)) {
      lines += 1;
      yield text;
    }
  }
  if (delivery.isStdout) return await printStream(texts(), output);
  const path = join(delivery.folder, `${fileNameOf(root.id)}_${kind}.jsonl`);
  async function* pieces(): AsyncGenerator<Piece> {
    for await (const content of texts()) yield { path, content };
  }
  await saveTogether(pieces(), { paths: [path], force, keepsEmpty: true });
  output.note(`${count(lines)} of ${count(root.request_counts.total)} lines`);
  if (json) output.printJson({ ...root, path, lines, batches: [root, ...retries].map(({ id }) => id) });
  else output.print(`${path}\n`);
}
