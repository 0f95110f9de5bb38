import type { ApiClient } from './api-client.ts';
import { ApiFault } from './api-fault.ts';
import { toResultLine, walkResults } from './read-results.ts';
import type { Batch } from '../domain/batch.ts';
import type { BatchResult } from '../domain/batch-result.ts';

/** A batch, the batches that retry its lines, and those that retry theirs. */
export interface Family {
  root: Batch;
  /** Oldest first. */
  retries: Batch[];
}

type Client = Pick<ApiClient, 'getBatch' | 'listResults'>;

/** Finds all batches that belong together with one of them. Batches that were deleted are left out. */
export async function findFamily(client: Client, id: string): Promise<Family> {
  const known = new Map<string, Batch>();
  let root = await client.getBatch(id);
  known.set(root.id, root);
  for (let above = root.nightshift?.retry_of; above !== undefined && !known.has(above); above = root.nightshift?.retry_of) {
    const found = await unlessDeleted(client, above);
    if (found === null) break;
    known.set(found.id, found);
    root = found;
  }
  const queue = [root];
  const members = new Map([[root.id, root]]);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const retry of next.nightshift?.retried_by ?? []) {
      if (members.has(retry)) continue;
      const found = known.get(retry) ?? (await unlessDeleted(client, retry));
      if (found === null) continue;
      members.set(found.id, found);
      queue.push(found);
    }
  }
  members.delete(root.id);
  return { root, retries: [...members.values()].sort((a, b) => a.created_at - b.created_at) };
}

async function unlessDeleted(client: Client, id: string): Promise<Batch | null> {
  try {
    return await client.getBatch(id);
  } catch (error) {
    if (error instanceof ApiFault && error.status === 404) return null;
    throw error;
  }
}

/** A retry that is read side by side with its root: its lines are some of the root's, in the same order. */
interface Reader {
  batch: Batch;
  results: AsyncGenerator<BatchResult, void, undefined>;
  next: BatchResult | null;
}

/** A line of a result file. */
export interface MergedLine {
  isCompleted: boolean;
  /** With the line break. */
  text: string;
}

/**
 * The lines of a result file for a whole family in the order of the first input. Of several results of a line a completed one counts, then
 * the latest. Lines that the first batch no longer has, because its error file was deleted, come last. Holds a page per batch.
 */
export async function* mergeResults(client: Client, { root, retries }: Family): AsyncGenerator<MergedLine, void, undefined> {
  const readers: Reader[] = [];
  for (const batch of retries) {
    const results = walkResults(client, batch.id);
    readers.push({ batch, results, next: await take(results) });
  }
  for await (const first of walkResults(client, root.id)) yield await best({ batch: root, result: first }, readers);
  for (const reader of readers) {
    for (let next = reader.next; next !== null; next = reader.next) {
      reader.next = await take(reader.results);
      yield await best({ batch: reader.batch, result: next }, readers);
    }
  }
}

/** The line that counts, after all readers that stand at its custom_id have gone on. */
async function best(first: { batch: Batch; result: BatchResult }, readers: readonly Reader[]): Promise<MergedLine> {
  let { batch, result } = first;
  for (const reader of readers) {
    const { next } = reader;
    if (next?.custom_id !== first.result.custom_id) continue;
    if (next.outcome === 'completed' || result.outcome !== 'completed') [batch, result] = [reader.batch, next];
    reader.next = await take(reader.results);
  }
  return { isCompleted: result.outcome === 'completed', text: toResultLine(batch.id, result) };
}

async function take(results: AsyncGenerator<BatchResult, void, undefined>): Promise<BatchResult | null> {
  const { value, done } = await results.next();
  return done === true ? null : value;
}
