import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { OpenBatches } from '../../activities/deps.ts';
import type { Batch } from '../../src/domain/batch.ts';
import { pauseRecord } from '../../src/domain/pause.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import type { Logger } from '../../src/telemetry/logger.ts';
import { type BatchStore, createBatchStore } from '../../src/storage/batch-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { BatchRun } from '../../src/temporal/batch-run.ts';
import type { BatchRuns } from '../../src/temporal/batch-runs.ts';
import type { ReviveResult } from '../../workflows/contract.ts';
import { chatLines } from '../helpers/lines.ts';
import { createUsageStore } from '../../src/storage/usage-store.ts';
import { collect } from '../storage/test-bucket.ts';
import { ENDPOINT, run, slice, type Stage, type StagedBatch, startStage, TENANT } from './stage.ts';

const MINUTE_MS = 60_000;
const NOW_MS = 1_800_000_000_000;
const OLD = new Date(NOW_MS - 60 * MINUTE_MS);
const NOTHING: ReviveResult = { started: 0, restarted: 0, signalled: 0, removed: 0, failed: 0, left: 0 };
const STATUSES: Partial<Batch>[] = [
  {},
  {},
  { status: 'in_progress' },
  { status: 'finalizing', finalizing_at: secondsAgo(0) },
  { status: 'cancelling', cancelling_at: secondsAgo(0) },
  { status: 'completed' },
];

function secondsAgo(seconds: number): number {
  return NOW_MS / 1000 - seconds;
}

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());

/** Sweeps so long after now; answers what Temporal was asked to do, in place of a Temporal. */
async function sweep(given: { inMs?: number; running?: string[]; start?: BatchRuns['start']; batches?: BatchStore } = {}) {
  const started: string[] = [];
  const cancelled: string[] = [];
  const told: string[] = [];
  const runs: BatchRuns = {
    ...stage.deps.runs,
    running: async () => new Set(given.running ?? []),
    start: async (record) => {
      await given.start?.(record);
      started.push(record.batch.id);
    },
    cancel: async (batchId) => void cancelled.push(batchId),
    tellChanged: async (batchId) => void told.push(batchId),
  };
  const { batches = stage.deps.batches } = given;
  const worker = stage.worker({ runs, batches, nowMs: () => Date.now() + (given.inMs ?? 2 * MINUTE_MS) });
  return { started, cancelled, told, result: await run(async () => await worker.reviveBatches(), undefined) };
}

const isOpen = async (batch: StagedBatch) => (await collect(stage.deps.batches.listOpen())).some(({ id }) => id === batch.batchId);
const save = async (batch: StagedBatch, to: 'cancelling' | 'cancelled') =>
  await run(stage.worker().saveBatch, { ...batch, to, counts: null });
/** Takes a batch of an earlier test out of the way. */
const finish = async (batch: StagedBatch) => await stage.deps.batches.removeOpen(batch.tenant, batch.batchId);

describe('reviveBatches', () => {
  it('starts a batch that nobody runs, once its marker is a minute old', async () => {
    const batch = await stage.submit(chatLines(1));
    assert.deepEqual((await sweep({ inMs: 0 })).started, []);
    assert.deepEqual((await sweep()).started, [batch.batchId]);
    assert.deepEqual((await sweep({ running: [batch.batchId] })).started, []);
    await finish(batch);
  });

  it('tells a batch of a pause until the batch has read its record', async () => {
    const batch = await stage.submit(chatLines(1));
    await stage.deps.batches.update(TENANT, batch.batchId, (found) =>
      pauseRecord(found, { nowSeconds: Math.floor(Date.now() / 1000), stopsWindow: false }),
    );
    assert.deepEqual((await sweep({ running: [batch.batchId] })).told, [batch.batchId]);
    const saved = await run(stage.worker().saveBatch, { ...batch, to: null, counts: null });
    assert.deepEqual([saved.pause.isPaused, saved.pause.changes], [true, 1]);
    assert.deepEqual((await sweep({ running: [batch.batchId] })).told, []);
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

  it('removes the marker of a batch that has ended', async () => {
    const batch = await stage.submit(chatLines(3));
    await run(stage.worker().validateInput, batch);
    await save(batch, 'cancelling');
    const { batches } = stage.deps;
    const dying = stage.worker({ batches: { ...batches, removeOpen: async () => await Promise.reject(new Error('killed')) } });
    await assert.rejects(run(dying.saveBatch, { ...batch, to: 'cancelled', counts: null }));
    assert.equal(await isOpen(batch), true);
    assert.deepEqual((await sweep()).started, []);
    assert.equal(await isOpen(batch), false);
  });

  it('counts the usage of a batch whose worker died right after the terminal record', async () => {
    const batch = await stage.begin(chatLines(3));
    const worker = stage.worker();
    await run(worker.runRequests, slice(batch, 1, 3));
    for (const range of batch.plan.shards) await run(worker.closeShard, { ...batch, range });
    await run(worker.saveBatch, { ...batch, to: 'finalizing', counts: null });
    const dying = stage.worker({ usage: { add: async () => await Promise.reject(new Error('killed')) } });
    await assert.rejects(run(dying.publishResults, { ...batch, to: 'completed' }));
    const day = new Date().toISOString().slice(0, 10);
    const counted = async () =>
      (await collect(createUsageStore(stage.bucket.store).read({ tenant: batch.tenant, from: '2000-01-01', to: day }))).map(
        ({ model, requests }) => [model, requests],
      );
    assert.deepEqual(await counted(), []);
    await sweep();
    assert.deepEqual(await counted(), [['example-model', 3]]);
    assert.equal(await isOpen(batch), false);
    // The workflow comes to its end as well.
    await run(worker.publishResults, { ...batch, to: 'completed' });
    assert.deepEqual(await counted(), [['example-model', 3]]);
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

  it('looks after the others when one batch cannot be started, and counts that one', async () => {
    const [first, second] = [await stage.submit(chatLines(1)), await stage.submit(chatLines(1))];
    const start = async ({ batch }: { batch: { id: string } }) => {
      if (batch.id === first.batchId) throw new Error('refused');
    };
    const { started, result } = await sweep({ start });
    assert.deepEqual(started, [second.batchId]);
    assert.equal(result.failed, 1);
    await finish(first);
    await finish(second);
  });
});

/** What the sweep does with open batches that are not in a bucket, and with a Temporal that is not there. */
describe('reviveBatches at scale', () => {
  it('reads 10,000 records some at a time, and asks Temporal once', async () => {
    const house = openHouse({ open: 10_000 });
    const { result } = await house.sweep({ running: house.ids });
    assert.deepEqual(result, { ...NOTHING, started: 0 });
    const { reads, lists, mostReads, listed } = house.calls;
    assert.deepEqual([reads, lists, listed], [10_000, 1, 1]);
    assert.ok(mostReads > 16 && mostReads <= 32, `${mostReads} reads at a time`);
  });

  it('starts what is forgotten first, however many batches run', async () => {
    const house = openHouse({ open: 2_000, readMs: 1_000 });
    const forgotten = house.ids.slice(990, 1_010);
    const { started, result } = await house.sweep({ running: house.ids.filter((id) => !forgotten.includes(id)) });
    assert.deepEqual(started.sort(), forgotten);
    assert.ok(result.left > 0, 'its time was up');
  });

  it('reaches every batch in some sweeps when Temporal takes 5 s to start none', async () => {
    const house = openHouse({ open: 1_000 });
    const tried = new Set<string>();
    for (const at of [0, 0.25, 0.5, 0.75]) {
      const { asked, result, warnings } = await house.sweep({ at, startMs: 5_000 });
      for (const id of asked) tried.add(id);
      assert.equal(result.failed + result.left, 1_000);
      assert.ok(result.left > 0, 'its time was up');
      assert.ok(warnings.length <= 12, `${warnings.length} warnings`);
    }
    assert.equal(tried.size, 1_000);
  });

  it('warns once of a Temporal that does not list what runs, and removes markers of ended batches nevertheless', async () => {
    const house = openHouse({ open: 500, change: (at) => (at < 3 ? { status: 'completed' } : {}) });
    const { started, result, warnings } = await house.sweep({ running: 'away' });
    assert.deepEqual([started, result], [[], { ...NOTHING, removed: 3, failed: 497 }]);
    assert.deepEqual(warnings, [
      'the sweep could not list the running batches; the next sweep tries again',
      'the sweep did not look after all open batches',
    ]);
  });

  it('tells how many batches are open by their status', async () => {
    const young = { since: new Date(NOW_MS - 1_000) };
    const house = openHouse({ open: 6, since: (at) => (at === 0 ? young.since : OLD), change: (at) => STATUSES[at] ?? {} });
    const { found } = await house.sweep({ running: house.ids });
    const expected = { new: 1, validating: 1, in_progress: 1, finalizing: 1, cancelling: 1 };
    assert.deepEqual(Object.fromEntries(found?.byStatus ?? []), expected);
    assert.equal(found?.oldestAgeSeconds, 3_600);
  });
});

describe('reviveBatches and batches that should have ended', () => {
  const expired = (minutes: number): Partial<Batch> => ({ status: 'in_progress', expires_at: secondsAgo(60 * minutes) });
  const cancelled = (seconds: number): Partial<Batch> => ({ status: 'cancelling', cancelling_at: secondsAgo(seconds) });
  const finalizing: Partial<Batch> = { status: 'finalizing', finalizing_at: secondsAgo(16 * 60) };
  const cases: [what: string, change: Partial<Batch>, run: Partial<BatchRun> | null, isRestarted: boolean][] = [
    ['the window ended 16 minutes ago', expired(16), {}, true],
    ['the window ended 14 minutes ago', expired(14), {}, false],
    ['the window ended while it was validated', { ...expired(16), status: 'validating' }, {}, true],
    ['it was cancelled 15 minutes ago, with the grace', cancelled(15 * 60 + 31), {}, true],
    ['it was cancelled 15 minutes ago, without the grace', cancelled(15 * 60 + 29), {}, false],
    ['it has been finalizing for 16 minutes', finalizing, {}, true],
    ['it has all the time it needs', { status: 'in_progress' }, {}, false],
    ['it closes a shard or publishes', expired(200), { activeMs: NOW_MS - 14 * MINUTE_MS }, false],
    ['its last activity was long ago', expired(200), { activeMs: NOW_MS - 16 * MINUTE_MS }, true],
    ['its run has only just begun', expired(200), { startedMs: NOW_MS - 14 * MINUTE_MS }, false],
    ['a sweep started it anew 59 minutes ago', expired(200), { restartedMs: NOW_MS - 59 * MINUTE_MS }, false],
    ['a sweep started it anew an hour ago', expired(200), { restartedMs: NOW_MS - 60 * MINUTE_MS }, true],
  ];
  for (const [what, change, run, isRestarted] of cases) {
    it(`${isRestarted ? 'starts a batch anew' : 'leaves a batch alone'}: ${what}`, async () => {
      const house = openHouse({ open: 1, change: () => change });
      const { restarted, started, result } = await house.sweep({ running: house.ids, run });
      assert.deepEqual([restarted, started], [isRestarted ? ['run-1'] : [], []]);
      assert.equal(result.restarted, isRestarted ? 1 : 0);
    });
  }

  it('starts one that does not run at all, as any other', async () => {
    const house = openHouse({ open: 1, change: () => expired(200) });
    const { restarted, started } = await house.sweep({ running: [], run: null });
    assert.deepEqual([restarted, started], [[], house.ids]);
  });
});

/** Open batches whose markers and records are counted, on a clock that only the calls move. */
function openHouse({
  open,
  change = () => ({}),
  since = () => OLD,
  readMs = 0,
}: {
  open: number;
  change?: (at: number) => Partial<Batch>;
  since?: (at: number) => Date;
  /** What a read takes, on the clock of the sweep. */
  readMs?: number;
}) {
  const ids = Array.from({ length: open }, (_, at) => `batch_${String(at).padStart(5, '0')}`);
  const calls = { reads: 0, lists: 0, mostReads: 0, listed: 0 };
  let [reading, clockMs] = [0, 0];
  const store: ObjectStore = {
    ...stage.bucket.store,
    async *list(prefix) {
      assert.equal(prefix, 'open/');
      calls.lists += 1;
      for (const [at, id] of ids.entries()) yield { key: `open/${TENANT}/${id}`, size: 1, lastModified: since(at) };
    },
    async get(key) {
      calls.reads += 1;
      reading += 1;
      calls.mostReads = Math.max(calls.mostReads, reading);
      await nextTurn();
      reading -= 1;
      clockMs += readMs / 32;
      const id = key.slice(`batches/${TENANT}/`.length);
      const times = { windowMs: 24 * 60 * MINUTE_MS, nowSeconds: secondsAgo(3_600) };
      const batch = newBatch({ id, endpoint: ENDPOINT, inputFileId: 'file-1', completionWindow: '24h', metadata: null, ...times });
      const record = { batch: { ...batch, ...change(ids.indexOf(id)) }, tenant: TENANT, output_expires_after_seconds: null };
      return { body: Buffer.from(JSON.stringify(record)), etag: '' };
    },
    remove: async () => undefined,
  };

  async function sweep(given: { running?: string[] | 'away'; startMs?: number; at?: number; run?: Partial<BatchRun> | null }) {
    const [asked, started, restarted, warnings] = [[] as string[], [] as string[], [] as string[], [] as string[]];
    let found: OpenBatches | null = null;
    const runs: BatchRuns = {
      ...stage.deps.runs,
      async running() {
        calls.listed += 1;
        if (given.running === 'away') throw new Error('planted');
        return new Set(given.running ?? []);
      },
      async start({ batch }) {
        asked.push(batch.id);
        await nextTurn();
        if (given.startMs === undefined) return void started.push(batch.id);
        clockMs += given.startMs / 32;
        throw new Error('planted');
      },
      describe: async () =>
        given.run == null ? null : { runId: 'run-1', startedMs: OLD.getTime(), activeMs: null, restartedMs: null, ...given.run },
      restart: async (_, { runId, atMs }) => {
        assert.equal(atMs, NOW_MS);
        restarted.push(runId);
      },
    };
    const worker = stage.worker({
      runs,
      batches: createBatchStore({ store }),
      nowMs: () => NOW_MS,
      monotonicMs: () => clockMs,
      random: () => given.at ?? 0,
      onOpenBatches: (seen) => void (found = seen),
      logger: { ...stage.deps.logger, warn: (_: object, message?: string) => void warnings.push(message ?? '') } as unknown as Logger,
    });
    const result = await run(async () => await worker.reviveBatches(), undefined);
    return { asked, started, restarted, warnings, result, found: found as OpenBatches | null };
  }
  return { ids, calls, sweep };
}
