import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, type WorkflowClientInterceptor } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createReviveBatches } from '../../activities/revive-batches.ts';
import type { BatchRecord } from '../../src/domain/batch.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import type { BatchStore } from '../../src/storage/batch-store.ts';
import { type BatchRuns, createBatchRuns, TemporalUnavailable } from '../../src/temporal/batch-runs.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import type { ReviveResult } from '../../workflows/contract.ts';
import { freePort } from '../helpers/servers.ts';
import { type Engine, startEngine } from '../workflows/engine.ts';
import { createModel, type Fate, gate, type Model, type ModelOptions, until } from '../workflows/model.ts';

const { policy } = createModel({ shards: [] }).input;

function recordOf(model: Model): BatchRecord {
  return { batch: model.record, tenant: 'acme', output_expires_after_seconds: null };
}

/** A batch whose lines from the fourth on wait for the gate. */
function halfHeld(options: Partial<ModelOptions> = {}): { model: Model; open: () => void } {
  const { wait, open } = gate();
  const model = createModel({
    shards: [2, 4],
    ...options,
    fate: async (line): Promise<Fate> => {
      if (line > 3) await wait();
      return 'completed';
    },
  });
  return { model, open };
}

/** What a sweep sees of one open batch. */
function onlyBatch(record: BatchRecord): BatchStore {
  const { id } = record.batch;
  const nothing = () => Promise.reject(new Error('not asked for here'));
  return {
    ...{ create: nothing, update: nothing, list: nothing, countOpen: nothing, markOpen: nothing, removeOpen: nothing },
    ...{ claimIdempotency: nothing, putIdempotency: nothing, getIdempotency: nothing, updateIdempotency: nothing },
    ...{ delete: nothing, isDeleted: nothing, retriesOf: nothing },
    tallies: { read: nothing, readAll: nothing, add: nothing, addClosed: nothing, freeze: nothing, thaw: nothing },
    get: async () => record,
    listOpen: () => assert.fail('not asked for here'),
    async *listOpenMarkers() {
      yield { tenant: record.tenant, id, since: new Date(0) };
    },
  };
}

describe('createBatchRuns', () => {
  let engine: Engine;
  let runs: BatchRuns;
  before(async () => {
    engine = await startEngine();
    runs = createBatchRuns({ client: engine.client, policy, settingsOf: () => ({ weight: 2.5, bestPriority: 2 }) });
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  it('starts a batch once, and again only if it was terminated', async () => {
    const { model, open } = halfHeld();
    engine.add(model);
    await runs.start(recordOf(model));
    await runs.start(recordOf(model));
    const handle = engine.client.workflow.getHandle(model.id);
    await until('three lines are answered', () => model.outcomes.size === 3);
    assert.equal(model.validations.count, 1);
    await handle.terminate('test');
    await runs.start(recordOf(model));
    open();
    assert.equal(await handle.result(), 'completed');
    await runs.start(recordOf(model));
    assert.equal((await handle.describe()).status.name, 'COMPLETED');
    assert.equal(model.validations.count, 2);
  });

  it('shows no text of a client in the details of a run, which Temporal renders as Markdown', async () => {
    const { model, open } = halfHeld();
    engine.add(model);
    const record = recordOf(model);
    await runs.start({ ...record, batch: { ...record.batch, input_file_id: '![x](http://evil.example/p.png)' } });
    const description = await engine.client.workflow.getHandle(model.id).describe();
    assert.doesNotMatch(`${await description.staticSummary()} ${await description.staticDetails()}`, /evil|!\[/);
    assert.match((await description.staticDetails()) ?? '', /input file a file that does not exist/);
    open();
    await engine.client.workflow.getHandle(model.id).result();
  });

  it('hands priority and tenant on to the activities that send requests, and hurries at the end of the window', async () => {
    async function prioritiesWith({ windowSeconds, leftSeconds }: { windowSeconds: number; leftSeconds: number }) {
      const { model, open } = halfHeld({ windowMs: leftSeconds * 1000 });
      // More than its tenant may ask for.
      model.record.metadata = { nightshift_priority: '1' };
      model.record.created_at = model.record.expires_at - windowSeconds;
      engine.add(model);
      await runs.start(recordOf(model));
      await until('a line of the second shard waits', () => model.inFlight.has(4));
      const { raw, priority: ofShard } = await engine.client.workflow.getHandle(`${model.id}/shard-0001`).describe();
      open();
      await engine.client.workflow.getHandle(model.id).result();
      const ofActivities = raw.pendingActivities?.map(({ priority }) => [priority?.priorityKey, priority?.fairnessKey]) ?? [];
      return { ofShard: [ofShard?.priorityKey, ofShard?.fairnessKey, ofShard?.fairnessWeight], ofActivities };
    }
    // Temporal lets an activity that says nothing have what its workflow has.
    const calm = await prioritiesWith({ windowSeconds: 86_400, leftSeconds: 86_400 });
    assert.deepEqual(calm.ofShard, [2, 'acme', 2.5]);
    assert.ok(calm.ofActivities.length > 0);
    assert.ok(calm.ofActivities.every(([key]) => key === undefined));
    const short = await prioritiesWith({ windowSeconds: 3_600, leftSeconds: 3_000 });
    assert.ok(short.ofActivities.every(([key]) => key === undefined));
    for (const windowSeconds of [86_400, 3_600]) {
      const urgent = await prioritiesWith({ windowSeconds, leftSeconds: 60 });
      assert.ok(urgent.ofActivities.length > 0);
      for (const priority of urgent.ofActivities) assert.deepEqual(priority, [1, 'acme']);
    }
  });

  it('asks the workflow of a batch once, however many shards are open, and nothing else', async () => {
    const calls: string[] = [];
    const query: WorkflowClientInterceptor['query'] = async (input, next) => (
      calls.push(input.workflowExecution.workflowId),
      await next(input)
    );
    const describeRun: WorkflowClientInterceptor['describe'] = async (input, next) => (calls.push('describe'), await next(input));
    const client = new Client({ connection: engine.connection, interceptors: { workflow: [{ query, describe: describeRun }] } });
    const counting = createBatchRuns({ client, policy });
    const { model, open } = halfHeld({ shards: [3, 4, 4, 4], policy: { linesPerActivity: 2 } });
    engine.add(model);
    await runs.start(recordOf(model));
    await until('the first shard is closed', async () => (await runs.progress(model.id))?.completed === 3);
    assert.deepEqual(await counting.progress(model.id), { completed: 3, failed: 0, unclosed: [[1, 3]] });
    assert.deepEqual(calls, [model.id]);
    open();
    await engine.client.workflow.getHandle(model.id).result();
    assert.deepEqual(await runs.progress(model.id), { completed: 15, failed: 0, unclosed: [] });
  });

  it('has no progress of a batch before its plan is known', async () => {
    const { wait, open } = gate();
    const model = createModel({ shards: [1], before: { validateInput: wait } });
    engine.add(model);
    await runs.start(recordOf(model));
    await until('it is being validated', () => model.validations.count === 1);
    assert.equal(await runs.progress(model.id), null);
    open();
    await engine.client.workflow.getHandle(model.id).result();
  });

  it('has no progress of a batch that does not run', async () => {
    assert.equal(await runs.progress('batch_unknown'), null);
  });

  it('cancels a batch, and takes one that does not run for no error', async () => {
    const { model, open } = halfHeld();
    engine.add(model);
    await runs.start(recordOf(model));
    await until('three lines are answered', () => model.outcomes.size === 3);
    model.requestCancel();
    await runs.cancel(model.id);
    assert.equal(await engine.client.workflow.getHandle(model.id).result(), 'cancelled');
    open();
    await runs.cancel(model.id);
    await runs.cancel('batch_unknown');
  });

  it('lists running batches, without their shards and without those that have ended', async () => {
    const { model, open } = halfHeld();
    engine.add(model);
    await runs.start(recordOf(model));
    await until('it is listed', async () => (await runs.running()).has(model.id));
    assert.deepEqual(
      [...(await runs.running())].filter((id) => id.includes('/')),
      [],
    );
    open();
    await engine.client.workflow.getHandle(model.id).result();
    await until('it is listed no more', async () => !(await runs.running()).has(model.id));
  });

  it('describes the open run of a batch: what its activities last showed, and who started it', async () => {
    const { model, open } = halfHeld();
    engine.add(model);
    assert.equal(await runs.describe(model.id), null);
    await runs.start(recordOf(model));
    await until('three lines are answered', () => model.outcomes.size === 3);
    const first = await runs.describe(model.id);
    assert.ok(first !== null && Date.now() - first.startedMs < 60_000);
    // Its shards have activities, the batch has none.
    assert.deepEqual([first.activeMs, first.restartedMs], [null, null]);
    await runs.restart(recordOf(model), { ...first, atMs: 1_234 });
    await until('the batch runs again', () => model.validations.count === 2);
    const second = await runs.describe(model.id);
    assert.deepEqual([second?.restartedMs, second?.runId === first.runId], [1_234, false]);
    // A run that is gone is no error, and the one that runs is left alone.
    await runs.restart(recordOf(model), { ...first, atMs: 5_678 });
    assert.deepEqual((await runs.describe(model.id))?.runId, second?.runId);
    open();
    assert.equal(await engine.client.workflow.getHandle(model.id).result(), 'completed');
    assert.equal(await runs.describe(model.id), null);
  });

  it('takes an activity of the batch that runs for a sign of life', async () => {
    const { wait, open } = gate();
    const model = createModel({ shards: [1], before: { publishResults: wait } });
    engine.add(model);
    await runs.start(recordOf(model));
    await until('it publishes', () => model.published.length === 1);
    const activeMs = (await runs.describe(model.id))?.activeMs;
    assert.ok(activeMs != null && Date.now() - activeMs < 60_000);
    open();
    await engine.client.workflow.getHandle(model.id).result();
  });

  it('brings a batch to its end whose workflow nobody can run', async () => {
    const windowMs = 3_600_000;
    const model = createModel({ shards: [2] });
    const record = recordOf(model);
    engine.add(model);
    // A defect of a version, as far as Temporal can tell: it runs, and no task of it ever succeeds.
    await engine.client.workflow.start('other', { workflowId: model.id, taskQueue: 'nobody' });
    const sweep = (inMs: number) => {
      const sweepsWith: Parameters<typeof createReviveBatches>[0] = {
        batches: onlyBatch(record),
        runs,
        nowMs: () => Date.now() + inMs,
        monotonicMs: () => performance.now(),
        random: Math.random,
        sweepMinAgeMs: 60_000,
        cancelGraceMs: 1_000,
        onOpenBatches: () => undefined,
        logger: createLogger({ level: 'fatal', format: 'json' }, 'test'),
        endBatch: async () => undefined,
      };
      return new MockActivityEnvironment().run<[], ReviveResult, () => Promise<ReviveResult>>(createReviveBatches(sweepsWith));
    };
    record.batch.expires_at = Math.floor((Date.now() + windowMs) / 1000);
    assert.equal((await sweep(windowMs + 14 * 60_000)).restarted, 0);
    assert.equal((await sweep(windowMs + 16 * 60_000)).restarted, 1);
    assert.equal(await engine.client.workflow.getHandle(model.id).result(), 'completed');
    assert.equal(model.record.status, 'completed');
  });

  it('answers a ping', async () => {
    await runs.ping();
  });
});

describe('createBatchRuns without Temporal', () => {
  it('says within seconds that Temporal is away', async () => {
    const { client, connection } = connectTemporal({
      address: `127.0.0.1:${await freePort()}`,
      namespace: 'default',
      apiKey: null,
      tls: false,
    });
    const runs = createBatchRuns({ client, policy });
    const model = createModel({ shards: [] });
    const startedAt = Date.now();
    await Promise.all([
      assert.rejects(runs.ping(), TemporalUnavailable),
      assert.rejects(runs.start(recordOf(model)), TemporalUnavailable),
      assert.rejects(runs.cancel(model.id), TemporalUnavailable),
      assert.rejects(runs.running(), TemporalUnavailable),
      runs.progress(model.id).then((counts) => assert.equal(counts, null)),
    ]);
    const tookMs = Date.now() - startedAt;
    assert.ok(tookMs < 15_000, `${tookMs} ms`);
    await connection.close();
  });
});
