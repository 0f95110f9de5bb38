import { join } from 'node:path';
import type OpenAI from 'openai';
import { submit } from '../../test/helpers/lines.ts';
import type { Stack } from '../../test/helpers/stack.ts';
import { until } from '../../test/helpers/until.ts';
import { inputLine, type InputShape, writeInput } from './input-file.ts';
import { uploadFile } from './upload-file.ts';
import { readLoad } from './upstream-use.ts';

/** Uploads the lines as so many files of about the same length, and answers their ids and the seconds of all uploads. */
export async function uploadLines(
  origin: string,
  directory: string,
  shape: InputShape,
  files: number,
): Promise<{ fileIds: string[]; seconds: number }> {
  const fileIds: string[] = [];
  let seconds = 0;
  for (let file = 0; file < files; file++) {
    const path = join(directory, `input-${file}.jsonl`);
    await writeInput(path, shape, Math.floor((shape.lines * file) / files), Math.floor((shape.lines * (file + 1)) / files));
    const beginMs = performance.now();
    fileIds.push(await uploadFile(origin, path));
    seconds += (performance.now() - beginMs) / 1000;
  }
  return { fileIds, seconds };
}

/** Creates a batch of each file, one after the other; answers their ids. */
export async function createBatches(
  client: OpenAI,
  fileIds: readonly string[],
  onCreated: () => void = () => undefined,
): Promise<string[]> {
  const ids: string[] = [];
  for (const input_file_id of fileIds) {
    ids.push((await client.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' })).id);
    onCreated();
  }
  return ids;
}

const RUNNING = new Set(['validating', 'in_progress', 'finalizing', 'cancelling']);
/** How often the status is read while the upstream still answers, and then. */
const [WAITING_MS, ENDING_MS] = [1000, 50];
const A_DAY_SECONDS = 24 * 3600;

/** Waits until the upstream has answered all lines, or the batches have ended before; reads a status like a client that waits. */
export async function whenAnswered(client: OpenAI, upstreamUrl: string, ids: readonly string[], lines: number): Promise<void> {
  const left = [...ids];
  let readMs = performance.now();
  await until(
    async () => {
      if ((await readLoad(upstreamUrl)).ended >= lines) return true;
      if (performance.now() - readMs < WAITING_MS) return false;
      readMs = performance.now();
      const [id] = left;
      if (id !== undefined && !RUNNING.has((await client.batches.retrieve(id)).status)) left.shift();
      return left.length === 0;
    },
    { what: 'the upstream to answer all lines', seconds: A_DAY_SECONDS, everyMs: ENDING_MS },
  );
}

/** Waits until all of these batches have ended. */
export async function whenEnded(client: OpenAI, ids: readonly string[]): Promise<OpenAI.Batch[]> {
  const batches: OpenAI.Batch[] = [];
  for (const id of ids) {
    const ended = async () => {
      const batch = await client.batches.retrieve(id);
      return RUNNING.has(batch.status) ? null : batch;
    };
    batches.push(await until(ended, { what: `batch ${id} to end`, seconds: A_DAY_SECONDS, everyMs: ENDING_MS }));
  }
  return batches;
}

/** Seconds from creation to the answer of a one-line batch of another tenant, once the big one is under way. */
export async function oneLineBehind(stack: Stack, shape: InputShape, id: string): Promise<number> {
  const [client, other] = [stack.client(), stack.client('key-b')];
  const underWay = async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) > 0;
  await until(underWay, { what: 'the first answers', seconds: 120 });
  const beginMs = performance.now();
  const batch = await submit(other, inputLine(shape, 0));
  const isAnswered = async () => (await other.batches.retrieve(batch.id)).request_counts?.completed === 1;
  await until(isAnswered, { what: 'the one line', seconds: 120 });
  return (performance.now() - beginMs) / 1000;
}
