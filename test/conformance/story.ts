import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import { type ResultLine, resultLines } from '../helpers/lines.ts';
import { until } from '../helpers/until.ts';

const TERMINAL: readonly string[] = ['completed', 'failed', 'expired', 'cancelled'];

/**
 * Polls a batch until it has ended, with `everyMs` at an even pace and otherwise ever more slowly; answers all that was seen of it, the last
 * being its end.
 */
export async function watch(
  client: OpenAI,
  id: string,
  { seconds = 120, ...pace }: { seconds?: number; everyMs?: number } = {},
): Promise<OpenAI.Batch[]> {
  const seen: OpenAI.Batch[] = [];
  await until(
    async () => {
      const batch = await client.batches.retrieve(id);
      seen.push(batch);
      return TERMINAL.includes(batch.status);
    },
    { what: `batch ${id} to end`, seconds, ...pace },
  );
  return seen;
}

/** The statuses in the order in which they were first seen. */
export function statusesOf(seen: readonly OpenAI.Batch[]): string[] {
  return seen.map(({ status }) => status).filter((status, index, all) => status !== all[index - 1]);
}

/** Waits until so many lines have an answer that succeeded. */
export async function completedLines(client: OpenAI, id: string, count: number): Promise<void> {
  await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) >= count, {
    what: `${count} answers of batch ${id}`,
  });
}

/**
 * Both files of a batch that accepted these lines and ended: every custom_id stands once in one of them, in the order of the
 * input, and the counts agree with the files (section 3, rule 5).
 */
export async function accountFor(
  client: OpenAI,
  batch: OpenAI.Batch,
  customIds: readonly string[],
): Promise<{ output: ResultLine[]; errors: ResultLine[] }> {
  const output = await resultLines(client, batch.output_file_id);
  const errors = await resultLines(client, batch.error_file_id);
  const place = new Map(customIds.map((id, index) => [id, index]));
  for (const lines of [output, errors]) {
    const places = lines.map((line) => place.get(line.custom_id) ?? -1);
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
      'in the order of the input',
    );
  }
  assert.deepEqual([...output, ...errors].map((line) => line.custom_id).toSorted(), [...customIds].toSorted(), 'every line exactly once');
  const notRun = errors.filter((line) => line.error?.code === 'batch_cancelled' || line.error?.code === 'batch_expired').length;
  assert.deepEqual(batch.request_counts, { total: customIds.length, completed: output.length, failed: errors.length - notRun });
  if (batch.status === 'completed') assert.equal(notRun, 0);
  assert.equal(batch.output_file_id === null, output.length === 0);
  assert.equal(batch.error_file_id === null, errors.length === 0);
  return { output, errors };
}

/** `<prefix>1` to `<prefix><count>`. */
export function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
}
