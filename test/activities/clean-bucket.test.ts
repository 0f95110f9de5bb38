import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ActivityDeps } from '../../activities/deps.ts';
import type { Cleaned, Stretch } from '../../src/storage/stretches.ts';
import type { CleanPosition } from '../../workflows/contract.ts';
import { chatLines } from '../helpers/lines.ts';
import { attempt, type Stage, startStage } from './stage.ts';

const MINUTE_MS = 60_000;
const DONE: Cleaned = { removed: 0, isDone: true };
let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());

async function clean({
  from = {},
  heartbeatDetails,
  inMs = 2 * MINUTE_MS,
  ...changes
}: { from?: CleanPosition; heartbeatDetails?: unknown; inMs?: number } & Partial<ActivityDeps> = {}) {
  const worker = stage.worker({ nowMs: () => Date.now() + inMs, ...changes });
  return await attempt({ heartbeatDetails }).run(worker.cleanBucket, { from });
}

describe('cleanBucket', () => {
  it('removes the work of a batch that has ended, and leaves that of an open batch alone', async () => {
    const [ended, open] = [await stage.begin(chatLines(3)), await stage.begin(chatLines(3))];
    await stage.deps.batches.removeOpen(ended.tenant, ended.batchId);
    assert.ok((await clean()).removed > 0);
    assert.equal(await stage.deps.pieces.getPlanHead(ended.batchId), null);
    assert.notEqual(await stage.deps.pieces.getPlanHead(open.batchId), null);
    await stage.deps.batches.removeOpen(open.tenant, open.batchId);
  });

  it('keeps the bytes of a deleted input while its batch is open, and removes them afterwards', async () => {
    const batch = await stage.begin(chatLines(1));
    await stage.deps.files.delete(batch.tenant, batch.inputFileId);
    const content = `content/${batch.tenant}/${batch.inputFileId}`;
    await clean();
    assert.notEqual(await stage.bucket.store.stat(content), null);
    await stage.deps.batches.removeOpen(batch.tenant, batch.batchId);
    await clean({ inMs: 5 * MINUTE_MS });
    assert.equal(await stage.bucket.store.stat(content), null);
  });

  it('goes on with its other steps when one fails, and names it in its result', async () => {
    const steps: string[] = [];
    const housekeeping = {
      ...stage.deps.housekeeping,
      removeExpiredFiles: async () => await Promise.reject(new Error('planted')),
      removeOldIdempotency: async () => (steps.push('idempotency'), DONE),
      removeDeletedContent: async () => (steps.push('contents'), DONE),
    };
    assert.deepEqual((await clean({ housekeeping })).failed, ['files']);
    assert.deepEqual(steps, ['idempotency', 'contents']);
  });

  it('gives each step a minute, and goes on where it stopped', async () => {
    let clockMs = 0;
    const looked: string[] = [];
    const steps: string[] = [];
    const housekeeping = {
      ...stage.deps.housekeeping,
      listWork: async () => Array.from({ length: 20 }, (_, at) => `batch_${String(at).padStart(2, '0')}`),
      async removeWork(batchIds: readonly string[], { after: last, isOver, reached }: Stretch): Promise<Cleaned> {
        for (const id of batchIds.filter((each) => each > last)) {
          if (isOver()) return { removed: 0, isDone: false };
          clockMs += 7_000;
          looked.push(id);
          reached(id);
        }
        return DONE;
      },
      async removeExpiredFiles(_nowMs: number, _inputs: unknown, { isOver }: Stretch) {
        if (!isOver()) steps.push('files');
        return DONE;
      },
    };
    const monotonicMs = () => clockMs;
    const first = await clean({ housekeeping, monotonicMs });
    assert.deepEqual([first.next, looked.length, steps], [{ work: 'batch_08' }, 9, ['files']]);
    const second = await clean({ housekeeping, monotonicMs, from: first.next });
    assert.deepEqual([second.next, looked.length], [{ work: 'batch_17' }, 18]);
    const third = await clean({ housekeeping, monotonicMs, from: second.next });
    assert.deepEqual([third.next, new Set(looked).size, looked.length], [{}, 20, 20]);
  });

  it('goes on where an attempt stopped that lost its worker', async () => {
    const afters: string[] = [];
    const housekeeping = {
      ...stage.deps.housekeeping,
      removeWork: async (_: readonly string[], stretch: Stretch) => (afters.push(stretch.after), DONE),
    };
    const from = { work: 'batch_1', files: 'files/a/1' };
    await clean({ housekeeping, from });
    await clean({ housekeeping, from, heartbeatDetails: { next: { work: 'batch_7' } } });
    await clean({ housekeeping, from, heartbeatDetails: { next: {} } });
    assert.deepEqual(afters, ['batch_1', 'batch_7', '']);
  });
});
