import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { LineResult } from '../../src/domain/piece.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createPieceStore } from '../../src/storage/piece-store.ts';
import { chatLines } from '../helpers/lines.ts';
import { attempt, randomHex, run, slice, type Stage, type StagedBatch, startStage } from './stage.ts';

const AT_A_TIME = 64;

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());
beforeEach(() => stage.upstream.reset());

function stored(line: number, outcome: LineResult['outcome'] = 'completed'): LineResult {
  return { line, outcome, usage: null, attempts: 1, milliseconds: 1, resultLine: Buffer.from(`{"custom_id":"line-${line}"}`) };
}

async function storePieces({ batchId }: StagedBatch, lines: readonly number[], outcomeOf?: (line: number) => LineResult['outcome']) {
  const writer = `1-1-${randomHex(16)}`;
  for (const [at, line] of lines.entries()) {
    await stage.deps.pieces.putPiece({ batchId, shard: 0, writer, piece: at + 1 }, [stored(line, outcomeOf?.(line))]);
  }
}

/** A worker, and the calls for pieces that it has made. */
function countingWorker() {
  const count = { reads: 0, lists: 0, writes: 0 };
  const store: ObjectStore = {
    ...stage.bucket.store,
    async get(key, range) {
      if (isPiece(key)) count.reads += 1;
      return await stage.bucket.store.get(key, range);
    },
    async put(key, body) {
      if (isPiece(key)) count.writes += 1;
      await stage.bucket.store.put(key, body);
    },
    list(prefix, options) {
      count.lists += 1;
      return stage.bucket.store.list(prefix, options);
    },
  };
  const pieces = createPieceStore({ store, newNonce: () => randomHex(16), parts: createPartPool(8) });
  return { count, worker: stage.worker({ pieces }) };
}

const isPiece = (key: string) => /\/shard-\d+\//.test(key);

/** Runs the slices of one line for these lines, so many at a time. */
async function runSlices(lines: readonly number[], runSlice: (line: number) => Promise<unknown>): Promise<void> {
  const next = lines.values();
  async function lane(): Promise<void> {
    for (const line of next) await runSlice(line);
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
}

describe('listStored', () => {
  it('answers the lines of a shard that have an outcome, completed before failed', async () => {
    const batch = await stage.begin(chatLines(8));
    const { worker } = countingWorker();
    assert.deepEqual(await run(worker.listStored, { ...batch, shard: 0 }), { completed: [], failed: [] });
    await storePieces(batch, [1, 2, 4, 5, 7], (line) => (line === 1 || line === 4 || line === 5 ? 'failed' : 'completed'));
    await storePieces(batch, [4]);
    assert.deepEqual(await run(worker.listStored, { ...batch, shard: 0 }), {
      completed: [
        [2, 2],
        [4, 4],
        [7, 7],
      ],
      failed: [
        [1, 1],
        [5, 5],
      ],
    });
  });
});

describe('the pieces of slices of one line', () => {
  const LINES = 100;
  const all = Array.from({ length: LINES }, (_, at) => at + 1);

  it('gather many slices each, and never those of two batches', async () => {
    const [first, second] = [await stage.begin(chatLines(LINES)), await stage.begin(chatLines(LINES))];
    const { worker, count } = countingWorker();
    await Promise.all(
      [first, second].map(async (batch) => {
        await Promise.all(all.map(async (line) => await run(worker.runRequests, slice(batch, line, line))));
      }),
    );
    // One a second, and one more whenever no slice happened to be open.
    assert.ok(count.writes <= (2 * LINES) / 10, `${count.writes} pieces of ${2 * LINES} slices`);
    for (const batch of [first, second]) {
      const lines = (await stage.entries(batch)).map(({ line }) => line);
      assert.deepEqual(
        lines.toSorted((a, b) => a - b),
        all,
      );
    }
  });
});

describe('the pieces of a shard that begins again', () => {
  const half = Array.from({ length: 500 }, (_, at) => 2 * at + 1);
  const open = half.map((line) => line + 1);

  it('are read once, however many slices the missing lines make', async () => {
    const batch = await stage.begin(chatLines(1_000));
    assert.equal(batch.plan.shards.length, 1);
    await storePieces(batch, half);
    const { worker, count } = countingWorker();
    const { completed, failed } = await run(worker.listStored, { ...batch, shard: 0 });
    assert.deepEqual([completed.length, failed.length], [500, 0]);
    await runSlices(open, async (line) => await run(worker.runRequests, slice(batch, line, line, { contested: true })));
    assert.equal(stage.upstream.stats.requests, 500);
    assert.deepEqual([count.reads, count.lists], [500, 1]);
  });

  it('are read twice at most by all slices that a worker has lost at once', async () => {
    const batch = await stage.begin(chatLines(200));
    await storePieces(
      batch,
      half.filter((line) => line < 200),
    );
    const { worker, count } = countingWorker();
    const lost = open.filter((line) => line <= 200).slice(0, AT_A_TIME);
    await runSlices(lost, async (line) => await attempt({ attempt: 2 }).run(worker.runRequests, slice(batch, line, line)));
    assert.ok(count.lists <= 2 && count.reads <= 200 + AT_A_TIME, `${count.lists} listings, ${count.reads} reads`);
  });
});
