import { createWriteStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import { type Delivery, printContent } from './deliver.ts';
import { describeGroup } from './describe-group.ts';
import { describeFailedLines } from './failed-lines.ts';
import { fileReason } from './file-reason.ts';
import { batchesOf, type Group, type GroupPart } from './group.ts';
import { mergeResults } from './merge-results.ts';
import type { Output } from './output.ts';
import { saveJoined } from './save-joined.ts';
import type { SavedResults } from './save-results.ts';
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
  for (const { batches } of parts) {
    if (batches.length > 1) await pipeline(linesOfKind(client, batches, 'output'), output.stdout, { end: false });
    else for (const id of idsOf(batches, 'output')) await printContent(client, id, output);
  }
}

/** The lines of a batch and of those that ran its lines again, as far as they go into this file. */
async function* linesOfKind(client: ApiClient, [root, ...retries]: GroupPart['batches'], kind: ResultKind): AsyncGenerator<string> {
  if (root === undefined) return;
  for await (const line of mergeResults(client, { root, retries })) if (isCompleted(line) === (kind === 'output')) yield line;
}

/** Whether a line of a result file is that of a success. */
function isCompleted(line: string): boolean {
  const { error, response }: { error?: unknown; response?: { status_code?: unknown } | null } = Object(JSON.parse(line));
  const status = Number(response?.status_code);
  return error === null && status >= 200 && status < 300;
}

function idsOf(batches: GroupPart['batches'], kind: ResultKind): string[] {
  return batches.flatMap(({ output_file_id: result, error_file_id: error }) => (kind === 'output' ? result : error) ?? []);
}

async function saveGroup(
  client: ApiClient,
  group: Group,
  { folder, force, output }: { folder: string; force: boolean; output: Output },
): Promise<SavedResults> {
  const isRetried = group.parts.some(({ batches }) => batches.length > 1);
  const save = async (kind: ResultKind): Promise<string | null> => {
    const ids = idsOf(batchesOf(group), kind);
    const path = join(folder, `${group.id}_${kind}.jsonl`);
    if (ids.length === 0) return null;
    if (isRetried) return await saveMerged(client, group, { kind, path, force });
    const transfers = createTransfers(output);
    const progress = transfers.begin(`downloading ${path}`);
    const done = await saveJoined(client, { ids, path, force, onBytes: progress.onBytes }).finally(progress.end);
    if (done === 'was there') transfers.note(`${path} is there already, complete.`);
    return path;
  };
  return { output: await save('output'), error: await save('error') };
}

/** Where lines were run again, each part is put together anew. Answers null where no line is of this kind. */
async function saveMerged(
  client: ApiClient,
  { parts }: Group,
  { kind, path, force }: { kind: ResultKind; path: string; force: boolean },
): Promise<string | null> {
  if (!force && (await stat(path).catch(() => null)) !== null) {
    throw new CommandError(
      `${path} is there already, and lines were run again since. Give --force to replace it, or --output for another place.`,
    );
  }
  async function* content(): AsyncGenerator<string | Uint8Array> {
    for (const { batches } of parts) {
      if (batches.length > 1) yield* linesOfKind(client, batches, kind);
      else for (const id of idsOf(batches, kind)) yield* client.readContent(id, 0);
    }
  }
  try {
    await pipeline(content(), createWriteStream(`${path}.merged`));
    await rename(`${path}.merged`, path);
    return (await stat(path)).size === 0 ? null : path;
  } catch (error) {
    const reason = fileReason(error);
    throw reason === null ? error : new CommandError(`${path} cannot be written: ${reason}.`, { cause: error });
  }
}
