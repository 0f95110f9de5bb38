import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import type { QueueListing } from '../../src/domain/upstream-queue.ts';
import { CANCEL_SIGNAL, CHANGED_SIGNAL, PAUSE_SIGNAL, QUEUE_QUERY, queueWorkflowId, RESUME_SIGNAL } from '../../workflows/contract.ts';
import { type Engine, startEngine } from './engine.ts';
import { createModel, type Fate, gate, type Model, until } from './model.ts';

describe('the pause of a batch', () => {
  let engine: Engine;
  let openLast = (): void => undefined;
  before(async () => {
    engine = await startEngine();
  });
  afterEach(() => openLast());
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  async function pause(model: Model, handle: WorkflowHandle): Promise<void> {
    model.pause();
    await handle.signal(CHANGED_SIGNAL);
  }

  async function resume(model: Model, handle: WorkflowHandle): Promise<void> {
    model.resume();
    await handle.signal(CHANGED_SIGNAL);
  }

  const detailsOf = async (handle: WorkflowHandle) => JSON.stringify(await handle.query('__temporal_workflow_metadata'));
  const isInQueue = async ({ id }: Model): Promise<boolean> => {
    const listed = await engine.client.workflow.getHandle(queueWorkflowId('main')).query<QueueListing[]>(QUEUE_QUERY);
    return listed.some(({ admitted, waiting }) => admitted.includes(id) || waiting.includes(id));
  };

  /** Nothing of it runs: it is in no queue, and has neither activities nor shards. */
  async function untilAtRest(model: Model, handle: WorkflowHandle): Promise<void> {
    await until('it is paused', async () => /, paused\*\*/.test(await detailsOf(handle)));
    await until('nothing of it runs', async () => {
      const { raw } = await handle.describe();
      return (raw.pendingActivities ?? []).length === 0 && (raw.pendingChildren ?? []).length === 0;
    });
    await until('it is in no queue', async () => !(await isInQueue(model)));
  }

  /** Starts a batch whose lines are held from the fourth on, until the gate is opened. Answers when the first three have an outcome. */
  async function startHeld({ policy, ...more }: Parameters<typeof createModel>[0]) {
    const held = gate();
    openLast = held.open;
    const fate = async (line: number): Promise<Fate> => {
      if (line > 3) await held.wait();
      return 'completed';
    };
    const model = createModel({ fate, policy: { linesPerActivity: 1, maxInFlight: 2, ...policy }, ...more });
    const handle = await engine.start(model);
    await until('three lines are answered', () => model.outcomes.size === 3);
    return { model, handle, open: held.open };
  }

  it('before the workflow begins validates, sends nothing and enters no queue', async () => {
    const model = createModel({ shards: [5] });
    model.pause();
    const handle = await engine.start(model);
    await until('it is validated', () => model.record.status === 'in_progress');
    await untilAtRest(model, handle);
    assert.deepEqual([model.slices, model.record.nightshift?.paused_at !== undefined], [[], true]);
    await resume(model, handle);
    assert.equal(await handle.result(), 'completed');
    assert.equal(model.record.nightshift, undefined);
  });

  it('while it validates lets validation end and sends nothing', async () => {
    const held = gate();
    const model = createModel({ shards: [5], before: { validateInput: held.wait } });
    const handle = await engine.start(model);
    await until('validation runs', () => model.validations.count === 1);
    await pause(model, handle);
    held.open();
    await until('it is validated', () => model.record.status === 'in_progress');
    await untilAtRest(model, handle);
    assert.deepEqual(model.slices, []);
    await resume(model, handle);
    assert.equal(await handle.result(), 'completed');
  });

  it('while it is in progress lets requests in flight end, closes nothing, and sends no line twice after the resume', async () => {
    const { model, handle, open } = await startHeld({ shards: [40, 40] });
    await pause(model, handle);
    open();
    await untilAtRest(model, handle);
    const answered = model.outcomes.size;
    assert.ok(answered >= 3 && answered < 80, `${answered} answered`);
    assert.deepEqual([model.closedShards.size, model.record.status], [0, 'in_progress']);
    const sent = new Set([...model.outcomes.keys()]);
    const before = model.slices.length;
    await resume(model, handle);
    assert.equal(await handle.result(), 'completed');
    assert.deepEqual([model.record.request_counts.completed, model.closedShards.size], [80, 2]);
    const again = model.slices.slice(before).map(({ firstLine }) => firstLine);
    assert.deepEqual(
      again.filter((line) => sent.has(line)),
      [],
    );
  });

  it('while it waits in the queue of its upstream gives up its place, and takes one again', async () => {
    const held = gate();
    openLast = held.open;
    const fate = async (): Promise<Fate> => (await held.wait(), 'completed');
    const start = async () => {
      const model = createModel({ shards: [5], capacity: 1, places: 1, fate });
      return { model, handle: await engine.start({ ...model, input: { ...model.input, tenant: 'crowd' } }) };
    };
    const running = [await start(), await start()];
    for (const { model } of running) await until('it sends', () => model.inFlight.size > 0);
    const third = await start();
    await until('it waits', async () => await isInQueue(third.model));
    await pause(third.model, third.handle);
    await untilAtRest(third.model, third.handle);
    await resume(third.model, third.handle);
    await until('it waits again', async () => await isInQueue(third.model));
    assert.deepEqual(third.model.slices, []);
    held.open();
    for (const { handle } of [...running, third]) assert.equal(await handle.result(), 'completed');
  });

  it('while its last shard is being closed holds back the publishing', async () => {
    const held = gate();
    const model = createModel({ shards: [4], before: { closeShard: held.wait } });
    const handle = await engine.start(model);
    await until('all lines are answered', () => model.outcomes.size === 4);
    await pause(model, handle);
    await until('it is paused', async () => /, paused\*\*/.test(await detailsOf(handle)));
    held.open();
    await until('the shard is closed', () => model.closedShards.size === 1);
    await untilAtRest(model, handle);
    assert.deepEqual([model.record.status, model.published], ['in_progress', []]);
    await resume(model, handle);
    assert.equal(await handle.result(), 'completed');
  });

  it('in the moment before it is finalized holds back the publishing, although the workflow has not heard of it', async () => {
    const model: Model = createModel({
      shards: [4],
      before: { saveBatch: async (to) => (to === 'finalizing' && model.published.length === 0 && !hasPaused ? pauseNow() : undefined) },
    });
    let hasPaused = false;
    const pauseNow = () => {
      hasPaused = true;
      model.pause();
    };
    const handle = await engine.start(model);
    await until('it is paused', async () => hasPaused && /, paused\*\*/.test(await detailsOf(handle)));
    assert.deepEqual([model.record.status, model.published], ['in_progress', []]);
    await resume(model, handle);
    assert.equal(await handle.result(), 'completed');
  });

  it('does not keep a batch from being published when its results are', async () => {
    const held = gate();
    const model = createModel({ shards: [4], before: { publishResults: held.wait } });
    const handle = await engine.start(model);
    await until('results are being published', () => model.published.length === 1);
    await pause(model, handle);
    held.open();
    assert.equal(await handle.result(), 'completed');
  });

  it('ends with a cancel', async () => {
    const { model, handle, open } = await startHeld({ shards: [8] });
    await pause(model, handle);
    open();
    await untilAtRest(model, handle);
    model.requestCancel();
    await handle.signal(CANCEL_SIGNAL);
    assert.equal(await handle.result(), 'cancelled');
    assert.deepEqual([model.record.nightshift, model.closedShards.size], [undefined, 1]);
  });

  it('ends with the window, which goes on', async () => {
    const model = createModel({ shards: [5], windowMs: 4_000 });
    model.pause();
    const handle = await engine.start(model);
    assert.equal(await handle.result(), 'expired');
    assert.deepEqual([...model.closedShards.values()], [{ completed: 0, failed: 0, unrun: 5 }]);
  });

  it('stops the window where the operator wants it so, and moves its end', async () => {
    const model = createModel({ shards: [5], windowMs: 3_000, pauseStopsWindow: true, fate: () => 'completed' });
    const endsMs = model.record.expires_at * 1000;
    model.pause();
    const handle = await engine.start(model);
    await until('its window would have ended', () => Date.now() > endsMs + 1_500);
    assert.equal(model.record.status, 'in_progress');
    await resume(model, handle);
    assert.ok(model.record.expires_at * 1000 > endsMs);
    assert.equal(await handle.result(), 'completed');
    assert.ok(model.slices.every(({ expiresAtMs }) => expiresAtMs > endsMs));
  });

  it('expires at the end that a pause has moved', async () => {
    const model = createModel({ shards: [5], windowMs: 4_000, pauseStopsWindow: true, upstream: 'away' });
    model.pause();
    const handle = await engine.start(model);
    await until('it has been paused for two seconds', () => Date.now() >= ((model.record.nightshift?.paused_at ?? 0) + 2) * 1000);
    await resume(model, handle);
    assert.equal(await handle.result(), 'expired');
    assert.ok(Date.now() >= model.record.expires_at * 1000);
  });

  it('survives the loss of its run', async () => {
    const { model, handle, open } = await startHeld({ shards: [8] });
    await pause(model, handle);
    open();
    await untilAtRest(model, handle);
    await handle.terminate('test');
    const before = model.slices.length;
    const again = await engine.start(model);
    await untilAtRest(model, again);
    assert.equal(model.slices.length, before);
    await resume(model, again);
    assert.equal(await again.result(), 'completed');
    assert.equal(model.record.request_counts.completed, 8);
  });

  it('continues as new while it is paused when its history is long, and sends no line twice', async () => {
    const { model, handle, open } = await startHeld({ shards: [40], policy: { longHistoryEvents: 250 } });
    const { runId } = await handle.describe();
    await pause(model, handle);
    open();
    const current = engine.client.workflow.getHandle(model.id);
    await until('it has continued as new', async () => {
      await current.signal(CHANGED_SIGNAL);
      return (await current.describe()).runId !== runId;
    });
    await untilAtRest(model, current);
    const sent = new Set(model.outcomes.keys());
    const before = model.slices.length;
    await resume(model, current);
    assert.equal(await current.result(), 'completed');
    assert.ok(model.slices.slice(before).every(({ firstLine }) => !sent.has(firstLine)));
  });

  it('comes from a signal that an operator sends by hand, and goes by another one', async () => {
    const { model, handle, open } = await startHeld({ shards: [8] });
    await handle.signal(PAUSE_SIGNAL);
    await until('the record says so', () => model.record.nightshift?.paused_at !== undefined);
    open();
    await untilAtRest(model, handle);
    await handle.signal(PAUSE_SIGNAL);
    await handle.signal(RESUME_SIGNAL);
    assert.equal(await handle.result(), 'completed');
  });

  it('decides the same when its history is replayed', async () => {
    const { replayed, errors } = await engine.replay();
    assert.deepEqual(errors, []);
    assert.ok(replayed >= 20, `${replayed} histories`);
  });
});
