import type { ClosedLine } from '../domain/closed-lines.ts';
import type { ShardResultLines } from '../domain/piece.ts';
import { mapInOrder } from './in-order.ts';
import { getJson, parseJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import { createMultipartWriter } from './multipart-writer.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import type { PartPool } from './part-pool.ts';

/**
 * What finds the lines of a batch in its result files once `work/` is gone. Three objects: `lines` has one line of JSON per shard,
 * `custom-ids` is that of the plan, and `head` says where in `lines` and in the result files each shard begins.
 */
export interface ResultIndexHead {
  /** Requests in the batch. */
  requests: number;
  shards: IndexedShard[];
}

export interface IndexedShard {
  firstLine: number;
  lastLine: number;
  /** First byte in `lines`, and how many. */
  start: number;
  bytes: number;
  /** Where its results begin in the output and in the error file. */
  output: number;
  error: number;
}

/** The result files of a batch; null for one that it does not have. */
export interface ResultFileIds {
  output: string | null;
  error: string | null;
}

/** The file whose deletion takes the index with it. */
export function indexOwner({ output, error }: ResultFileIds): string | null {
  return output ?? error;
}

/** The keys of the index that belongs to a file. */
export function indexKeys(tenant: string, fileId: string): string[] {
  return (['head', 'lines', 'custom-ids'] as const).map((part) => keys.resultIndex(tenant, fileId, part));
}

/**
 * Writes the index of a batch whose shards are all closed, its head last. Shard results never change, so a second run writes the same
 * bytes. `step` is awaited after each shard.
 */
export async function writeResultIndex(
  { store, newNonce, parts }: { store: ObjectStore; newNonce: () => string; parts: PartPool },
  at: { tenant: string; batchId: string; fileId: string; shards: number },
  step: () => Promise<void> | void,
): Promise<void> {
  const { tenant, batchId, fileId, shards } = at;
  const keyOf = (part: 'head' | 'lines' | 'custom-ids') => keys.resultIndex(tenant, fileId, part);
  const source = keys.customIds(batchId);
  const customIds = await store.stat(source);
  if (customIds === null) throw new ObjectStoreError('stat', source, new Error('the plan has no index of its custom_ids'));
  await writeObject(keyOf('custom-ids'), async (object) => await object.append(source, customIds.size));

  const head: ResultIndexHead = { requests: 0, shards: [] };
  await writeObject(keyOf('lines'), async (object) => {
    const [bytes, place] = [{ written: 0 }, { output: 0, error: 0 }];
    const read = async (shard: number) => await readShard(store, batchId, shard);
    for await (const { firstLine, lastLine, lines, output, error } of mapInOrder(Array(shards).keys(), READS_AT_A_TIME, read)) {
      await step();
      const json = Buffer.from(`${JSON.stringify(lines)}\n`);
      await object.write(json);
      head.shards.push({ firstLine, lastLine, start: bytes.written, bytes: json.length, ...place });
      head.requests += lines.length;
      bytes.written += json.length;
      place.output += output?.bytes ?? 0;
      place.error += error?.bytes ?? 0;
    }
  });
  await store.put(keyOf('head'), toJsonBytes(head));

  async function writeObject(key: string, write: (object: ReturnType<typeof createMultipartWriter>) => Promise<void>): Promise<void> {
    const object = createMultipartWriter({ store, key, nonce: newNonce(), parts });
    try {
      await write(object);
      await object.complete();
    } catch (error) {
      await object.abort();
      throw error;
    }
  }
}

async function readShard(store: ObjectStore, batchId: string, shard: number): Promise<ShardResultLines> {
  const key = keys.shardResult(batchId, shard);
  const found = await getJson<ShardResultLines>(store, key);
  if (found === null) throw new ObjectStoreError('get', key, new Error('the shard has no result'));
  return found;
}

/** Null when there is none: the batch has no results, or they are deleted. */
export async function readIndexHead(store: ObjectStore, tenant: string, fileId: string): Promise<ResultIndexHead | null> {
  return await getJson<ResultIndexHead>(store, keys.resultIndex(tenant, fileId, 'head'));
}

/** The lines of one shard; none when the index has just been deleted. */
export async function readIndexedLines(
  store: ObjectStore,
  { tenant, fileId }: { tenant: string; fileId: string },
  { start, bytes }: IndexedShard,
): Promise<ClosedLine[]> {
  const key = keys.resultIndex(tenant, fileId, 'lines');
  const found = await store.get(key, { start, end: start + bytes - 1 });
  return found === null ? [] : parseJson<ClosedLine[]>(key, found.body);
}

const ENTRY_BYTES = 8;

/**
 * The lines that a custom_id with this hash may have: usually one. Hashes are spread evenly, so the place of one among `requests` is known
 * to within some square roots of them, and only those entries are read.
 */
export async function linesWithHash(store: ObjectStore, key: string, hash: number, requests: number): Promise<number[]> {
  const expected = Math.floor((hash / 2 ** 32) * requests);
  for (let width = 64 + Math.ceil(8 * Math.sqrt(requests)); ; width *= 8) {
    const first = Math.max(0, expected - width);
    const end = Math.min(requests, expected + width);
    const found = await store.get(key, { start: first * ENTRY_BYTES, end: end * ENTRY_BYTES - 1 });
    if (found === null) return [];
    const hashAt = (at: number) => found.body.readUInt32LE(at * ENTRY_BYTES + 4);
    const count = Math.floor(found.body.length / ENTRY_BYTES);
    const isWide = (first === 0 || hashAt(0) < hash) && (end === requests || hashAt(count - 1) > hash);
    if (!isWide) continue;
    const lines: number[] = [];
    for (let at = 0; at < count; at++) if (hashAt(at) === hash) lines.push(found.body.readUInt32LE(at * ENTRY_BYTES));
    return lines;
  }
}
