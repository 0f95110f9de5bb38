import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { CANCEL_SIGNAL, PROGRESS_QUERY } from '../../workflows/contract.ts';
import { type Engine, startEngine } from './engine.ts';
import { createModel, type Fate, gate, type Model, until } from './model.ts';

const BATCHES = 8;
/** All shards of a batch start in one workflow task. */
const SHARDS = [2, 2, 2, 2];
/** Shards whose input is as long as this take Temporal some time to start. */
const LONG_NAME = 'f'.repeat(100_000);
/** Long enough to bring all batches to their start. */
const WINDOW_MS = 4_000;

type How = 'a cancel' | 'cancellation of the workflow' | 'the end of the window';

const never = (): Promise<Fate> => new Promise(() => undefined);

describe('a batch that ends early', () => {
  let engine: Engine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  /** Brings a batch to where its next step is to start its shards. It takes that step when `released`, and hears `afterMs` later that it ends. */
  async function bringToStart(how: How, afterMs: number, released: Promise<void>): Promise<{ model: Model; ended: Promise<unknown> }> {
    const [starting, ending] = [gate(), gate()];
    let reads = 0;
    const model: Model = createModel({
      shards: SHARDS,
      windowMs: how === 'the end of the window' ? WINDOW_MS : 60_000,
      fate: never,
      policy: { cancelGraceMs: 0, maxInFlight: 1_000 },
      before: {
        async saveBatch(to) {
          if (to === 'in_progress') {
            starting.open();
            await released;
            // At the end of a window the batch reads its record too, and nobody cancels it.
          } else if (how !== 'the end of the window' && (to === 'cancelling' || (to === null && (reads += 1) > 1))) {
            ending.open();
            await released;
            await delay(afterMs);
            model.requestCancel();
          }
        },
      },
    });
    model.input.inputFileId = LONG_NAME;
    const handle = await engine.start(model);
    const ended = handle.result().catch(() => 'cancelled');
    await starting.wait();
    if (how === 'the end of the window') return { model, ended };
    await (how === 'a cancel' ? handle.signal(CANCEL_SIGNAL) : handle.cancel());
    await ending.wait();
    return { model, ended };
  }

  for (const how of ['a cancel', 'cancellation of the workflow', 'the end of the window'] as const) {
    it(`stops the shards that are being started when ${how} arrives`, { timeout: 120_000 }, async () => {
      const release = gate();
      const batches = await Promise.all(Array.from({ length: BATCHES }, (_, index) => bringToStart(how, 22 * index, release.wait())));
      if (how === 'the end of the window') await delay(Math.max(0, (batches[0]?.model.input.expiresAtMs ?? 0) - 20 - Date.now()));
      release.open();
      let open = batches.length;
      for (const { ended } of batches) void ended.then(() => (open -= 1));
      await until('all batches have ended', () => open === 0);
      for (const { model } of batches) {
        assert.equal(model.record.status, how === 'the end of the window' ? 'expired' : 'cancelled');
        assert.deepEqual(
          [...model.closedShards.values()],
          SHARDS.map((unrun) => ({ completed: 0, failed: 0, unrun })),
        );
      }
    });
  }

  it('gives up a shard that never closes, and closes it itself', async () => {
    const held = gate();
    let closings = 0;
    const model = createModel({
      shards: [2, 2],
      windowMs: 2_000,
      fate: never,
      policy: { cancelGraceMs: 0, shardStopTimeoutMs: 1_000 },
      before: {
        async closeShard() {
          closings += 1;
          if (closings === 1) await held.wait();
        },
      },
    });
    const handle = await engine.start(model);
    assert.equal(await handle.result(), 'expired');
    held.open();
    assert.equal(model.closedShards.size, 2);
  });

  it('gives up a shard whose slices do not heed the cancel, and ends it with the batch', async () => {
    const published = gate();
    const model = createModel({
      shards: [2, 2],
      policy: { cancelGraceMs: 0, shardStopTimeoutMs: 1_000 },
      before: { publishResults: published.wait },
    });
    const { runRequests } = model.activities;
    const slice = gate();
    let isDeaf = false;
    model.activities.runRequests = async (input) => {
      if (input.shard !== 1) return await runRequests(input);
      isDeaf = true;
      const heartbeats = setInterval(() => Context.current().heartbeat(), 100);
      await slice.wait();
      clearInterval(heartbeats);
      return await runRequests(input);
    };
    const handle = await engine.start(model);
    await until('the slice runs and the other shard is closed', () => isDeaf && model.closedShards.size === 1);
    model.requestCancel();
    await handle.signal(CANCEL_SIGNAL);
    await until('results are being published', () => model.published.length === 1);
    assert.deepEqual(await handle.query(PROGRESS_QUERY), { completed: 2, failed: 0, unclosed: [] }, 'the shard is counted once');
    published.open();
    assert.equal(await handle.result(), 'cancelled');
    assert.deepEqual(model.closedShards.get(1), { completed: 0, failed: 0, unrun: 2 });
    const shard = engine.client.workflow.getHandle(`${model.id}/shard-0001`);
    await until('the shard is terminated', async () => (await shard.describe()).status.name === 'TERMINATED');
    slice.open();
  });

  it('asks a shard again when Temporal refuses the request', async () => {
    const { code } = await bundleWorkflowCode({
      workflowsPath: fileURLToPath(new URL('ask.workflow.ts', import.meta.url)),
      logger: new DefaultLogger('ERROR'),
    });
    const connection = await NativeConnection.connect({ address: engine.server.address });
    const worker = await Worker.create({ connection, taskQueue: 'asks', workflowBundle: { code } });
    const client = engine.client.workflow;
    await worker.runUntil(async () => {
      const asking = await client.start('asks', { workflowId: 'asking', taskQueue: 'asks', args: ['late'] });
      await until('the request has been refused', async () => {
        const { events } = await asking.fetchHistory();
        return (events ?? []).some((event) => Boolean(event.requestCancelExternalWorkflowExecutionFailedEventAttributes));
      });
      assert.equal(await client.execute('waits', { workflowId: 'late', taskQueue: 'asks' }), 'stopped');
      await asking.result();
    });
    await connection.close();
  });

  it('decides the same when its history is replayed', async () => {
    const histories = await engine.replay('batch');
    assert.deepEqual(histories.errors, []);
    assert.ok(histories.replayed >= 3 * BATCHES, `${histories.replayed} histories`);
  });
});
