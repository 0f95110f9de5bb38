import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import type { QueueListing, QueueState } from '../../src/domain/upstream-queue.ts';
import { ensureQueues } from '../../src/temporal/upstream-queues.ts';
import {
  CANCEL_SIGNAL,
  ENTER_SIGNAL,
  type EnterQueue,
  type Progress,
  PROGRESS_QUERY,
  QUEUE_QUERY,
  type QueueInput,
  queueWorkflowId,
  WORKFLOW_TASK_QUEUE,
} from '../../workflows/contract.ts';
import { type Engine, startEngine } from './engine.ts';
import { createModel, type Fate, gate, type Model, type ModelOptions, until } from './model.ts';

describe('admission', () => {
  let engine: Engine;
  /** Lets the batches of the last test end, also where it failed. */
  let openLast = (): void => undefined;
  afterEach(() => openLast());
  before(async () => {
    engine = await startEngine();
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
  });

  const queue = (upstream = 'main') => engine.client.workflow.getHandle(queueWorkflowId(upstream));
  const listed = async (upstream = 'main') => await queue(upstream).query<QueueListing[]>(QUEUE_QUERY);
  const progress = async (handle: WorkflowHandle) => await handle.query<Progress | null>(PROGRESS_QUERY);
  const places = async (handle: WorkflowHandle) => (await progress(handle))?.waiting?.map(({ place, of }) => [place, of]);

  /** A tenant whose batches fill an upstream that can have one request in flight, so that the third waits. */
  async function crowd(tenant: string) {
    await until('nothing is left of the test before', async () => (await listed()).length === 0);
    const held = gate();
    openLast = held.open;
    const fate = async (): Promise<Fate> => {
      await held.wait();
      return 'completed';
    };
    let made = 0;
    /** Starts one batch more; each has a later end of its window than the one before. */
    async function start(more: Partial<ModelOptions> = {}): Promise<{ model: Model; handle: WorkflowHandle }> {
      const model = createModel({ shards: [5], capacity: 1, places: 1, windowMs: 600_000 + 1_000 * made++, fate, ...more });
      const of = { ...model.input, tenant };
      const handle = await engine.start({ ...model, input: of });
      return { model, handle };
    }
    const running = [await start(), await start()];
    for (const { model } of running) await until('it sends', () => model.inFlight.size > 0);
    return { start, running, open: held.open };
  }

  it('lets a batch that is beyond the capacity wait without activities and children, and start when another has ended', async () => {
    const { start, running, open } = await crowd('waits');
    const third = await start();
    await until('it has a place', async () => (await places(third.handle))?.[0]?.[0] === 1);
    const fourth = await start();
    await until('it has a place', async () => (await places(fourth.handle))?.[0]?.[0] === 2);
    assert.equal(third.model.record.status, 'in_progress');
    assert.deepEqual([third.model.slices, fourth.model.slices], [[], []]);

    const { events } = await third.handle.fetchHistory();
    const names = events?.flatMap(({ activityTaskScheduledEventAttributes: it }) => it?.activityType?.name ?? []);
    assert.deepEqual(names, ['saveBatch', 'validateInput', 'saveBatch']);
    assert.ok(!events?.some((event) => event.startChildWorkflowExecutionInitiatedEventAttributes));
    const details = await third.handle.query<string>('__temporal_workflow_metadata').then((metadata) => JSON.stringify(metadata));
    assert.match(details, /waits for upstream main: place 1 of 1 in the queue of tenant waits/);
    assert.match(JSON.stringify(await queue().query('__temporal_workflow_metadata')), /capacity: 1 requests in flight/);
    const tenant = (await listed()).find((each) => each.tenant === 'waits');
    assert.deepEqual([tenant?.admitted.length, tenant?.waiting], [2, [third.model.id, fourth.model.id]]);

    open();
    for (const { handle } of [...running, third, fourth]) assert.equal(await handle.result(), 'completed');
    await until('the queue has forgotten them', async () => !(await listed()).some((each) => each.tenant === 'waits'));
  });

  it('starts the first batch of another tenant at once', async () => {
    const { start, running, open } = await crowd('large');
    const waiting = await Promise.all(Array.from({ length: 5 }, () => start()));
    const other = createModel({ shards: [1], capacity: 1, places: 1 });
    const handle = await engine.start({ ...other, input: { ...other.input, tenant: 'small' } });
    assert.equal(await handle.result(), 'completed');
    assert.ok(waiting.every(({ model }) => model.slices.length === 0));
    open();
    for (const each of [...running, ...waiting]) assert.equal(await each.handle.result(), 'completed');
  });

  it('ends a batch that is cancelled, cancelled in Temporal, or expires while it waits, with no line sent', async () => {
    const { start, running, open } = await crowd('ends');
    const cancelled = await start();
    const native = await start();
    const expired = await start({ windowMs: 20_000 });
    for (const { handle } of [cancelled, native]) await until('it waits', async () => typeof (await places(handle))?.[0]?.[0] === 'number');
    cancelled.model.requestCancel();
    await cancelled.handle.signal(CANCEL_SIGNAL);
    await native.handle.cancel();
    assert.equal(await cancelled.handle.result(), 'cancelled');
    await assert.rejects(native.handle.result());
    assert.equal(native.model.record.status, 'cancelled');
    assert.equal(await expired.handle.result(), 'expired');
    for (const { model } of [cancelled, native, expired]) {
      assert.deepEqual(model.slices, []);
      assert.deepEqual([...model.closedShards.values()], [{ completed: 0, failed: 0, unrun: 5 }]);
    }
    await until('they have left', async () => (await listed()).find(({ tenant }) => tenant === 'ends')?.allWaiting === 0);
    open();
    for (const { handle } of running) assert.equal(await handle.result(), 'completed');
  });

  it('asks all batches to enter again when the queue was terminated', async () => {
    const { start, running, open } = await crowd('lost');
    const waiting = await Promise.all(Array.from({ length: 4 }, () => start()));
    for (const { handle } of waiting) await until('it waits', async () => typeof (await places(handle))?.[0]?.[0] === 'number');
    await queue().terminate('test');
    const late = await start();
    await until('it finds no queue', async () => late.model.record.status === 'in_progress');
    await ensureQueues({ client: engine.client, upstreams: ['main'] });
    await until('all have entered', async () => {
      const tenant = (await listed()).find((each) => each.tenant === 'lost');
      return tenant !== undefined && tenant.admitted.length + tenant.allWaiting === 7;
    });
    // The new queue may have admitted two before it heard of the two that run.
    assert.ok(((await listed())[0]?.admitted.length ?? 0) <= 4);
    open();
    for (const { handle } of [...running, ...waiting, late]) assert.equal(await handle.result(), 'completed');
  });

  it('forgets admitted batches that have ended without a word', async () => {
    await until('nothing is left of the test before', async () => (await listed()).length === 0);
    await queue().terminate('test');
    const ghost: QueueState = { capacity: 1, base: 0, lines: [['ghost', 1, [['batch_gone', 1, 3, 9e9, 0, 1]], []]] };
    const input: QueueInput = { upstream: 'main', state: ghost, askFrom: null, checkAtMs: 1, longHistoryEvents: 100 };
    await engine.client.workflow.start('queue', { workflowId: queueWorkflowId('main'), taskQueue: WORKFLOW_TASK_QUEUE, args: [input] });
    await until('it is forgotten', async () => (await listed()).length === 0);
  });

  it('forgets nothing when the queue continues as new, also while signals arrive', async () => {
    await queue().terminate('test');
    await ensureQueues({ client: engine.client, upstreams: ['main'], longHistoryEvents: 100 });
    const { start, running, open } = await crowd('long');
    const third = await start();
    await until('it waits', async () => (await places(third.handle))?.[0]?.[0] === 1);
    // Entries of a batch that is admitted change nothing, and each is an event.
    const entry: EnterQueue = {
      ...{
        batchId: running[0]?.model.id ?? '',
        tenant: 'long',
        model: 'gpt-test',
        weight: 1,
        priority: 3,
        lines: 5,
        capacity: 1,
        isAdmitted: true,
      },
      ...{ expiresAtMs: Date.now() + 600_000, urgentFromMs: 0 },
    };
    const runs = new Set<string>();
    await until('it has continued as new three times', async () => {
      await Promise.all(Array.from({ length: 50 }, async () => await queue().signal(ENTER_SIGNAL, entry)));
      runs.add((await queue().describe()).runId);
      return runs.size > 3;
    });
    const tenant = (await listed()).find((each) => each.tenant === 'long');
    assert.deepEqual([tenant?.admitted.length, tenant?.waiting], [2, [third.model.id]]);
    open();
    for (const { handle } of [...running, third]) assert.equal(await handle.result(), 'completed');
  });

  it('keeps the place of an admitted batch that is terminated and started again', async () => {
    const { start, running, open } = await crowd('again');
    const third = await start();
    await until('it waits', async () => (await places(third.handle))?.[0]?.[0] === 1);
    const [first] = running;
    assert.ok(first);
    await first.handle.terminate('test');
    const before = first.model.slices.length;
    const again = await engine.start({ ...first.model, input: { ...first.model.input, tenant: 'again' } });
    await until('it sends again', () => first.model.slices.length > before);
    assert.deepEqual(third.model.slices, []);
    open();
    for (const handle of [again, running[1]?.handle, third.handle]) assert.equal(await handle?.result(), 'completed');
  });

  it('starts a batch for several upstreams as soon as one of them admits it', async () => {
    const { start, running, open } = await crowd('both');
    const mixed = await start({ shards: [4], upstreamOf: (line) => (line % 2 === 0 ? 1 : 0) });
    await until('it sends', () => mixed.model.slices.length > 0);
    await until('both count it', async () => {
      const queues = [...(await listed('main')), ...(await listed('other'))];
      return queues.filter(({ admitted }) => admitted.includes(mixed.model.id)).length === 2;
    });
    open();
    for (const { handle } of [...running, mixed]) assert.equal(await handle.result(), 'completed');
    await until('both have forgotten it', async () => (await listed('other')).length === 0);
  });

  it('decides the same when its history is replayed', async () => {
    const { replayed, errors } = await engine.replay();
    assert.deepEqual(errors, []);
    assert.ok(replayed >= 10, `${replayed} histories`);
  });
});
