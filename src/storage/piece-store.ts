import type { LineResult, PieceEntry, Publication, ShardResult, ShardResultLines } from '../domain/piece.ts';
import type { PlanHead, PlanNonce, PlanSegment, ShardPlan } from '../domain/plan.ts';
import { mapInOrder } from './in-order.ts';
import { createJson, getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import { createMultipartWriter } from './multipart-writer.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import type { PartPool } from './part-pool.ts';
import { encodePiece, readPieceEntries } from './piece-format.ts';
import { readLines } from './read-lines.ts';
import { writeResultIndex } from './result-index.ts';
import { createRecent } from './recent.ts';
import { updateJson } from './update-json.ts';

/** What lies under `work/<batch>/`: the plan, pieces, shard results and what publishing has decided. */
export interface PieceStore {
  /** Writes one shard of a plan; `nonce` is that of one validation, which the head will name. */
  putPlanShard(at: { batchId: string; nonce: string }, plan: ShardPlan): Promise<void>;
  /** A shard of the plan whose head stands; null when there is none. */
  getPlanShard(batchId: string, shard: number): Promise<ShardPlan | null>;
  /** Writes how far a validation has come, under a name that has its nonce. */
  putPlanSegment(batchId: string, name: string, segment: PlanSegment): Promise<void>;
  getPlanSegment(batchId: string, name: string): Promise<PlanSegment | null>;
  /** Writes the index by which a line is found by its custom_id; see `CustomIds`. The same for every validation of an input. */
  putCustomIds(batchId: string, index: Buffer): Promise<void>;
  /** Create-only: answers the head that stands, which may be another's. */
  createPlanHead(batchId: string, head: PlanHead): Promise<PlanHead>;
  getPlanHead(batchId: string): Promise<PlanHead | null>;

  /** Stores results under a key that no other writer can have; never overwritten. `writer` is a name of its own, `piece` counts from 1. */
  putPiece(at: { batchId: string; shard: number; writer: string; piece: number }, results: readonly LineResult[]): Promise<void>;
  /**
   * What pieces of a shard hold, piece by piece in key order. Result lines of small pieces come with it, `keepBytes` of them at most (none
   * by default), so that who reads them afterwards does not fetch the piece twice.
   */
  listPieceEntries(batchId: string, shard: number, options?: { keepBytes?: number }): AsyncIterable<PieceEntry[]>;
  /** Reads the result lines of the entries given, in their order, some at a time; bounded memory whatever their size. */
  readResultLines(entries: readonly PieceEntry[]): AsyncIterable<Buffer[]>;

  /** Writes one of the two objects of a closed shard from its lines, in bounded memory; answers bytes. Null when there is no line. */
  putShardObject(
    at: { batchId: string; shard: number; nonce: string; role: 'output' | 'error' },
    lines: AsyncIterable<readonly Buffer[]>,
  ): Promise<{ key: string; bytes: number } | null>;
  /** Create-only: a shard is closed once. Answers the shard result that stands, which may be another's. */
  createShardResult(batchId: string, result: ShardResultLines): Promise<ShardResultLines>;
  getShardResult(batchId: string, shard: number): Promise<ShardResultLines | null>;
  /** The results of the shards from `first` to before `end`, in order. Throws where one is not closed. */
  readShardResults(batchId: string, first: number, end: number): Promise<ShardResult[]>;
  /** Shard results by number of shard. */
  listShardResults(batchId: string): Promise<ShardResult[]>;

  /** Writes what finds the lines of the batch in its result files; all `shards` of it are closed. It goes with the file `fileId`. */
  writeResultIndex(
    at: { tenant: string; batchId: string; fileId: string; shards: number },
    step: () => Promise<void> | void,
  ): Promise<void>;

  /** Create-only: answers the publication that stands, so that two attempts write the same. */
  createPublication(batchId: string, publication: Publication): Promise<Publication>;
  /** Puts `next` in the place of `past` by compare-and-set; answers the publication that stands then. */
  replacePublication(batchId: string, past: Publication, next: Publication): Promise<Publication>;
  getPublication(batchId: string): Promise<Publication | null>;
}

const LINE_BREAK = Buffer.from('\n');
/** Batches whose plan's nonces are remembered: it never changes, and a head may be long. */
const PLANS_REMEMBERED = 10_000;
/** Lines are written in blocks of about this size; a longer line is not copied. */
const BLOCK_BYTES = 256 * 1024;

/** The lines with their line breaks: a call for each would cost more than its bytes. */
function* toBlocks(lines: readonly Buffer[]): Iterable<Buffer> {
  let block: Buffer[] = [];
  let bytes = 0;
  for (const line of lines) {
    if (bytes > 0 && bytes + line.length > BLOCK_BYTES) {
      yield Buffer.concat(block);
      block = [];
      bytes = 0;
    }
    if (line.length > BLOCK_BYTES) yield line;
    else block.push(line);
    block.push(LINE_BREAK);
    bytes += line.length + LINE_BREAK.length;
  }
  if (bytes > 0) yield Buffer.concat(block);
}

/** Plans, pieces and shard results in a bucket. */
export function createPieceStore({ store, newNonce, parts }: { store: ObjectStore; newNonce: () => string; parts: PartPool }): PieceStore {
  const nonces = createRecent<readonly PlanNonce[]>(PLANS_REMEMBERED);

  async function getPlanHead(batchId: string): Promise<PlanHead | null> {
    return await getJson<PlanHead>(store, keys.planHead(batchId));
  }

  /** What the name of a shard of the plan ends in; null when there is no plan. */
  async function planNonce(batchId: string, shard: number): Promise<string | null> {
    let known = nonces.get(batchId);
    if (known === undefined) {
      const head = await getPlanHead(batchId);
      if (head?.verdict !== 'accepted') return null;
      known = head.nonces;
      nonces.set(batchId, known);
    }
    return known.findLast(({ firstShard }) => firstShard <= shard)?.nonce ?? null;
  }

  /** Without its lines, which are many where the results of a whole batch are read. */
  async function getShardResult(key: string): Promise<ShardResult | null> {
    const found = await getJson<ShardResultLines>(store, key);
    if (found === null) return null;
    const { lines: _, ...result } = found;
    return result;
  }

  return {
    getPlanHead,

    async putPlanShard({ batchId, nonce }, plan) {
      await store.put(keys.planShard(batchId, plan.shard, nonce), toJsonBytes(plan));
    },

    async getPlanShard(batchId, shard) {
      const nonce = await planNonce(batchId, shard);
      return nonce === null ? null : await getJson<ShardPlan>(store, keys.planShard(batchId, shard, nonce));
    },

    putPlanSegment: async (batchId, name, segment) => await store.put(keys.planSegment(batchId, name), toJsonBytes(segment)),
    getPlanSegment: (batchId, name) => getJson<PlanSegment>(store, keys.planSegment(batchId, name)),

    putCustomIds: async (batchId, index) => await store.put(keys.customIds(batchId), index),
    createPlanHead: (batchId, head) => createJson(store, keys.planHead(batchId), head),

    async putPiece({ batchId, shard, writer, piece }, results) {
      await store.put(keys.piece(batchId, shard, writer, piece), encodePiece(results));
    },

    listPieceEntries(batchId, shard, { keepBytes = 0 } = {}) {
      const kept = { bytesLeft: keepBytes };
      return mapInOrder(store.list(keys.pieces(batchId, shard)), READS_AT_A_TIME, (piece) => readPieceEntries(store, piece, kept));
    },

    readResultLines: (entries) => readLines(store, entries),

    async putShardObject({ batchId, shard, nonce, role }, lines) {
      const key = keys.shardObject(batchId, shard, nonce, role);
      const object = createMultipartWriter({ store, key, nonce: newNonce(), parts });
      try {
        for await (const some of lines) for (const block of toBlocks(some)) await object.write(block);
        if (object.bytes === 0) return null;
        await object.complete();
        return { key, bytes: object.bytes };
      } catch (error) {
        await object.abort();
        throw error;
      }
    },

    createShardResult: (batchId, result) => createJson(store, keys.shardResult(batchId, result.shard), result),
    getShardResult: (batchId, shard) => getJson<ShardResultLines>(store, keys.shardResult(batchId, shard)),

    async readShardResults(batchId, first, end) {
      const results: ShardResult[] = [];
      const wanted = Array.from({ length: Math.max(0, end - first) }, (_, at) => keys.shardResult(batchId, first + at));
      const read = async (key: string) => ({ key, result: await getShardResult(key) });
      for await (const { key, result } of mapInOrder(wanted, READS_AT_A_TIME, read)) {
        if (result === null) throw new ObjectStoreError('get', key, new Error('the shard has no result'));
        results.push(result);
      }
      return results;
    },

    async listShardResults(batchId) {
      const results: ShardResult[] = [];
      const listed = store.list(keys.shardResults(batchId));
      for await (const result of mapInOrder(listed, READS_AT_A_TIME, ({ key }) => getShardResult(key))) {
        if (result !== null) results.push(result);
      }
      // Numbers of five digits come before some of four in the order of keys.
      return results.sort((a, b) => a.shard - b.shard);
    },

    writeResultIndex: async (at, step) => await writeResultIndex({ store, newNonce, parts }, at, step),

    createPublication: (batchId, publication) => createJson(store, keys.publish(batchId), publication),
    getPublication: (batchId) => getJson<Publication>(store, keys.publish(batchId)),

    async replacePublication(batchId, past, next) {
      const isPast = (found: Publication) => found.outputFileId === past.outputFileId && found.createdAt === past.createdAt;
      return (await updateJson<Publication>(store, keys.publish(batchId), (found) => (isPast(found) ? next : null))) ?? past;
    },
  };
}
