/** `node check-closings.ts CLOSINGS MIB` closes shards with so many MiB of result lines at the same time, and prints the most memory that took, in bytes. */
import { setTimeout as delay } from 'node:timers/promises';
import { createCloseShard } from '../../activities/close-shard.ts';
import { createControlMemory } from '../../activities/control-memory.ts';
import type { PieceEntry } from '../../src/domain/piece.ts';
import { createBatchStore } from '../../src/storage/batch-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createPieceStore } from '../../src/storage/piece-store.ts';
import { attempt, randomHex } from './stage.ts';

const [closings = 1, mib = 1] = process.argv.slice(2).map(Number);
const LINES = 1000;
const LINES_PER_PIECE = 50;
const LINE_BYTES = Math.floor((mib * 1024 * 1024) / LINES);
const CALL_MS = 20;

const unused = (): never => {
  throw new Error('a closing has no use for this');
};
/** Pieces that take a moment to arrive, and a bucket that keeps nothing. */
const store: ObjectStore = {
  async get(_, range) {
    await delay(CALL_MS);
    // Only pieces are there.
    if (range === undefined) return null;
    const { start, end } = range;
    return { body: Buffer.alloc(end + 1 - start, 'x'), etag: '' };
  },
  put: async () => await delay(CALL_MS),
  startMultipart: async () => await delay(CALL_MS, 'upload'),
  uploadPart: async () => await delay(CALL_MS, 'part'),
  completeMultipart: async () => await delay(CALL_MS),
  abortMultipart: unused,
  remove: async () => undefined,
  open: unused,
  stat: unused,
  create: unused,
  replace: unused,
  list: unused,
  listFolders: unused,
  copyPart: unused,
  listParts: unused,
  listMultipart: unused,
  ping: unused,
  ensureBucket: unused,
  close: unused,
};

const lines = Array.from({ length: LINES }, (_, at) => ({ line: at + 1, offset: at * 100, length: 99, customId: `line-${at + 1}` }));
const plan = { shard: 0, firstLine: 1, lastLine: LINES, requests: LINES, lines };
const entry = (line: number): PieceEntry => ({
  line,
  outcome: 'completed',
  attempts: 1,
  milliseconds: 1,
  usage: null,
  key: `piece-${Math.floor((line - 1) / LINES_PER_PIECE)}`,
  offset: ((line - 1) % LINES_PER_PIECE) * (LINE_BYTES + 1),
  length: LINE_BYTES,
});
const closeShard = createCloseShard({
  batches: createBatchStore({ store }),
  pieces: {
    ...createPieceStore({ store, newNonce: () => randomHex(16), parts: createPartPool(16) }),
    getShardResult: async () => null,
    getPlanShard: async () => plan,
    async *listPieceEntries() {
      await delay(CALL_MS);
      yield lines.map(({ line }) => entry(line));
    },
    createShardResult: async (_, result) => result,
  },
  randomHex,
  controlMemory: createControlMemory(),
});

await Promise.all(
  Array.from({ length: closings }, async (_, shard) => {
    const input = { tenant: 't', batchId: 'b', range: { ...plan, shard } };
    const closed = await attempt().run(closeShard, input);
    if (!closed.closed || closed.completed !== LINES) throw new Error(JSON.stringify(closed));
  }),
);
process.stdout.write(String(process.resourceUsage().maxRSS * 1024));
