import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import { type Delivery, printStream } from './deliver.ts';
import { describeGroup } from './describe-group.ts';
import { describeFailedLines } from './failed-lines.ts';
import { batchesOf, type Group, type GroupPart } from './group.ts';
import { mergeResults } from './merge-results.ts';
import type { Output } from './output.ts';
import { saveJoined } from './save-joined.ts';
import type { SavedResults } from './save-results.ts';
import { type Piece, saveTogether } from './save-together.ts';
import { createTransfers } from './transfer-line.ts';

type ResultKind = 'output' | 'error';

/** Joins the results of a group in the order of its input, and prints the paths; with stdout as target, prints the output lines. */
export async function deliverGroup(
  client: ApiClient,
  group: Group,
  { delivery, force, asJson, output, describe }: { delivery: Delivery; force: boolean; asJson: boolean; output: Output; describe: boolean },
): Promise<void> {
  if (describe) output.note(describeGroup(group).trimEnd());
  if (delivery.isStdout) return await printGroup(client, group, output);
  const saved = await saveGroup(client, group, { folder: delivery.folder, force, output });
  if (saved.error !== null) for (const each of await describeFailedLines(saved.error)) output.note(`failed      ${each}`);
  if (asJson) output.printJson({ group: group.id, batches: batchesOf(group), output_path: saved.output, error_path: saved.error });
  else for (const path of [saved.output, saved.error]) if (path !== null) output.print(`${path}\n`);
}

async function printGroup(client: ApiClient, { parts }: Group, output: Output): Promise<void> {
  async function* content(): AsyncGenerator<string | Uint8Array> {
    for (const { batches } of parts)
      for await (const { kind, content: some } of resultsOf(client, batches, ['output'])) if (kind === 'output') yield some;
  }
  await printStream(content(), output);
}

/** The results of one part. Where lines were run again, they are put together from all batches of the part. */
async function* resultsOf(
  client: ApiClient,
  batches: GroupPart['batches'],
  kinds: readonly ResultKind[],
): AsyncGenerator<{ kind: ResultKind; content: string | Uint8Array }> {
  const [root, ...retries] = batches;
  if (root === undefined) return;
  if (retries.length === 0) {
    for (const kind of kinds)
      for (const id of idsOf(batches, kind)) for await (const content of client.readContent(id, 0)) yield { kind, content };
    return;
  }
  for await (const { isCompleted, text } of mergeResults(client, { root, retries })) {
    yield { kind: isCompleted ? 'output' : 'error', content: text };
  }
}

function idsOf(batches: GroupPart['batches'], kind: ResultKind): string[] {
  return batches.flatMap(({ output_file_id: result, error_file_id: error }) => (kind === 'output' ? result : error) ?? []);
}

async function saveGroup(
  client: ApiClient,
  group: Group,
  { folder, force, output }: { folder: string; force: boolean; output: Output },
): Promise<SavedResults> {
  const paths = { output: join(folder, `${group.id}_output.jsonl`), error: join(folder, `${group.id}_error.jsonl`) };
  if (group.parts.some(({ batches }) => batches.length > 1)) return await saveMerged(client, group, { paths, force });
  const save = async (kind: ResultKind): Promise<string | null> => {
    const ids = idsOf(batchesOf(group), kind);
    const path = paths[kind];
    if (ids.length === 0) return null;
    const transfers = createTransfers(output);
    const progress = transfers.begin(`downloading ${path}`);
    const done = await saveJoined(client, { ids, path, force, onBytes: progress.onBytes }).finally(progress.end);
    if (done === 'was there') transfers.note(`${path} is there already, complete.`);
    return path;
  };
  return { output: await save('output'), error: await save('error') };
}

/** Where lines were run again, both files are written anew. Null for one that would have no line. */
async function saveMerged(
  client: ApiClient,
  { parts }: Group,
  { paths, force }: { paths: Record<ResultKind, string>; force: boolean },
): Promise<SavedResults> {
  for (const path of force ? [] : Object.values(paths)) {
    if ((await stat(path).catch(() => null)) === null) continue;
    throw new CommandError(
      `${path} is there already, and lines were run again since. Give --force to replace it, or --output for another place.`,
    );
  }
  async function* pieces(): AsyncGenerator<Piece> {
    for (const { batches } of parts)
      for await (const { kind, content } of resultsOf(client, batches, ['output', 'error'])) yield { path: paths[kind], content };
  }
  const sizes = await saveTogether(pieces(), { paths: Object.values(paths), force });
  const pathOf = (kind: ResultKind) => (sizes.get(paths[kind]) === 0 ? null : paths[kind]);
  return { output: pathOf('output'), error: pathOf('error') };
}
