import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { BatchStore } from '../../src/storage/batch-store.ts';
import type { BatchRuns } from '../../src/temporal/batch-runs.ts';
import { chatLines } from '../helpers/lines.ts';
import { collect } from '../storage/test-bucket.ts';
import { run, type Stage, type StagedBatch, startStage } from './stage.ts';

const MINUTE_MS = 60_000;
let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());

/** Sweeps so long after now; answers what Temporal was asked to do, in place of a Temporal. */
async function sweep(given: { inMs?: number; running?: string[]; start?: BatchRuns['start']; batches?: BatchStore } = {}) {
  const started: string[] = [];
  const cancelled: string[] = [];
  const runs: BatchRuns = {
    ...stage.deps.runs,
    running: async () => new Set(given.running ?? []),
    start: async (record) => {
      await given.start?.(record);
      started.push(record.batch.id);
    },
    cancel: async (batchId) => void cancelled.push(batchId),
  };
  const { batches = stage.deps.batches } = given;
  const worker = stage.worker({ runs, batches, nowMs: () => Date.now() + (given.inMs ?? 2 * MINUTE_MS) });
  const result = await run(async () => await worker.sweep(), undefined).catch((error: unknown) => error);
  return { started, cancelled, result };
}

const isOpen = async (batch: StagedBatch) => (await collect(stage.deps.batches.listOpen())).some(({ id }) => id === batch.batchId);
const save = async (batch: StagedBatch, to: 'cancelling' | 'cancelled') =>
  await run(stage.worker().saveBatch, { ...batch, to, counts: null });
/** Takes a batch of an earlier test out of the way. */
const finish = async (batch: StagedBatch) => await stage.deps.batches.removeOpen(batch.tenant, batch.batchId);

describe('sweep', () => {
  it('starts a batch that nobody runs, once its marker is a minute old', async () => {
    const batch = await stage.submit(chatLines(1));
    assert.deepEqual((await sweep({ inMs: 0 })).started, []);
    assert.deepEqual((await sweep()).started, [batch.batchId]);
    assert.deepEqual((await sweep({ running: [batch.batchId] })).started, []);
    await finish(batch);
  });

  it('repeats a cancel, and starts a cancelling batch that nobody runs', async () => {
    const batch = await stage.submit(chatLines(1));
    await save(batch, 'cancelling');
    assert.deepEqual((await sweep({ running: [batch.batchId] })).cancelled, [batch.batchId]);
    const { started, cancelled } = await sweep();
    assert.deepEqual([started, cancelled], [[batch.batchId], []]);
    await finish(batch);
  });

  it('removes the marker of a batch that has ended, then, one sweep later, its work', async () => {
    const batch = await stage.submit(chatLines(3));
    await run(stage.worker().validateInput, batch);
    await save(batch, 'cancelling');
    const { batches } = stage.deps;
    const dying = stage.worker({ batches: { ...batches, removeOpen: async () => await Promise.reject(new Error('killed')) } });
    await assert.rejects(run(dying.saveBatch, { ...batch, to: 'cancelled', counts: null }));
    assert.equal(await isOpen(batch), true);
    assert.deepEqual((await sweep()).started, []);
    assert.equal(await isOpen(batch), false);
    assert.ok((await stage.deps.housekeeping.listWork()).includes(batch.batchId));
    await sweep();
    assert.ok(!(await stage.deps.housekeeping.listWork()).includes(batch.batchId));
  });

  it('leaves the work of an open batch alone', async () => {
    const batch = await stage.begin(chatLines(3));
    await sweep({ running: [batch.batchId] });
    assert.notEqual(await stage.deps.pieces.getPlanHead(batch.batchId), null);
    await finish(batch);
  });

  it('removes a marker without a record after an hour, not before', async () => {
    const batch = await stage.submit(chatLines(1));
    await stage.bucket.store.remove([`batches/${batch.tenant}/${batch.batchId}`]);
    await sweep({ inMs: 59 * MINUTE_MS });
    assert.equal(await isOpen(batch), true);
    await sweep({ inMs: 61 * MINUTE_MS });
    assert.equal(await isOpen(batch), false);
  });

  it('puts a marker back whose record is written while it is taken for an orphan', async () => {
    const { batches } = stage.deps;
    const batch = await stage.submit(chatLines(1));
    const record = await batches.get(batch.tenant, batch.batchId);
    assert.ok(record);
    await stage.bucket.store.remove([`batches/${batch.tenant}/${batch.batchId}`]);
    const removeOpen = async (tenant: string, id: string) => {
      await batches.create(record);
      await batches.removeOpen(tenant, id);
    };
    await sweep({ inMs: 61 * MINUTE_MS, batches: { ...batches, removeOpen } });
    assert.equal(await isOpen(batch), true);
    assert.deepEqual((await sweep()).started, [batch.batchId]);
    await finish(batch);
  });

  it('keeps the bytes of a deleted input while its batch is open, and removes them afterwards', async () => {
    const batch = await stage.begin(chatLines(1));
    await stage.deps.files.delete(batch.tenant, batch.inputFileId);
    const content = `content/${batch.tenant}/${batch.inputFileId}`;
    await sweep({ running: [batch.batchId] });
    assert.notEqual(await stage.bucket.store.stat(content), null);
    await finish(batch);
    await sweep({ inMs: 5 * MINUTE_MS });
    assert.equal(await stage.bucket.store.stat(content), null);
  });

  it('looks after the others when one batch cannot be started, and says so in the end', async () => {
    const [first, second] = [await stage.submit(chatLines(1)), await stage.submit(chatLines(1))];
    const start = async ({ batch }: { batch: { id: string } }) => {
      if (batch.id === first.batchId) throw new Error('refused');
    };
    const { started, result } = await sweep({ start });
    assert.deepEqual(started, [second.batchId]);
    assert.equal(result instanceof Error && result.message, 'Could not be looked after: 1 open batches.');
    await finish(first);
    await finish(second);
  });

  it('goes on with its other steps when one fails, and names it in the end', async () => {
    const { housekeeping } = stage.deps;
    const steps: string[] = [];
    const failing = {
      ...housekeeping,
      removeExpiredFiles: async () => await Promise.reject(new Error('planted')),
      removeOldIdempotency: async () => (steps.push('idempotency'), 0),
      removeDeletedContent: async () => (steps.push('contents'), 0),
    };
    const worker = stage.worker({ housekeeping: failing });
    await assert.rejects(
      run(async () => await worker.sweep(), undefined),
      { message: 'Could not be looked after: expired files.' },
    );
    assert.deepEqual(steps, ['idempotency', 'contents']);
  });
});
