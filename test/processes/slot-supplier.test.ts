import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ActivitySlotInfo, SlotPermit, SlotReserveContext } from '@temporalio/worker';
import { createSlotSupplier } from '../../src/processes/slot-supplier.ts';
import { createIntake } from '../../src/upstream/admission/intake.ts';
import { chatLine, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { slicesOut } from './slices-out.ts';

const never = new AbortController().signal;
const slotInfo: ActivitySlotInfo = { type: 'activity', activityType: 'runRequests' };
const asking: SlotReserveContext = {
  slotType: 'activity',
  taskQueue: 'requests-example',
  workerIdentity: 'worker',
  workerBuildId: 'build',
  isSticky: false,
};

/** A supplier on an intake with room for two lines, and what a worker does with it. */
function createStage() {
  const intake = createIntake({ limit: () => 1, maxSlices: 100 });
  const supplier = createSlotSupplier(intake);
  return {
    intake,
    reserve: async (signal = never) => await supplier.reserveSlot(asking, signal),
    tryReserve: () => supplier.tryReserveSlot(asking),
    use: (permit: SlotPermit) => supplier.markSlotUsed({ slotInfo, permit }),
    release: (permit: SlotPermit) => supplier.releaseSlot({ slotInfo, permit }),
  };
}

describe('createSlotSupplier', () => {
  it('keeps room for each slot that is given out, until it comes back unused', async () => {
    const { reserve, tryReserve, release } = createStage();
    const [first] = [await reserve(), await reserve()];
    assert.equal(tryReserve(), null);
    release(first);
    assert.notEqual(tryReserve(), null);
  });

  it('counts a slot that is used by the lines of its slice, and once', async () => {
    const { intake, reserve, tryReserve, use, release } = createStage();
    const [permit, another] = [await reserve(), await reserve()];
    use(permit);
    assert.equal(tryReserve(), null, 'it has not begun');
    release(another);
    const slice = intake.take(2);
    assert.equal(tryReserve(), null);
    slice.finishLine();
    const other = tryReserve();
    assert.ok(other !== null);
    assert.equal(tryReserve(), null);
    slice[Symbol.dispose]();
    release(permit);
    assert.notEqual(tryReserve(), null);
    assert.equal(tryReserve(), null, 'the other is out still');
  });

  it('gives up the room of a slice that ended before it began', async () => {
    const { intake, reserve, tryReserve, use, release } = createStage();
    const [first, second] = [await reserve(), await reserve()];
    use(first);
    release(first);
    use(second);
    using _slice = intake.take(1);
    assert.notEqual(tryReserve(), null);
    assert.equal(tryReserve(), null);
  });

  it('lets a worker wait for room, and stop waiting for it', async () => {
    const { intake, reserve } = createStage();
    const slice = intake.take(2);
    const leaving = new AbortController();
    const left = assert.rejects(reserve(leaving.signal), /enough/);
    leaving.abort(new Error('enough'));
    await left;
    const waiting = reserve();
    slice.finishLine();
    assert.ok(await waiting);
  });
});

describe('a worker', () => {
  const MAX_IN_FLIGHT = 4;
  let stack: Stack;
  before(async () => {
    stack = await startStack({
      env: {
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(MAX_IN_FLIGHT),
        // Of each worker: an adaptive limit is shared by all.
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '1',
        NIGHTSHIFT_CANCEL_GRACE_SECONDS: '0',
      },
    });
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('takes twice as many lines as may be in flight, and leaves the backlog in Temporal for another one', async () => {
    const client = stack.client();
    const lines = Array.from({ length: 60 }, (_, at) => chatLine(`line-${at + 1}`, 'marker=hanging; mode=hang')).join('\n');
    const batch = await submit(client, lines);
    const out = async () => await slicesOut(stack.temporal.address, batch.id);
    const isFull = (workers: number) => async () => {
      const { taken, waiting } = await out();
      assert.ok(taken <= workers * 2 * MAX_IN_FLIGHT, `${taken} lines were taken by ${workers} workers`);
      return taken === workers * 2 * MAX_IN_FLIGHT && waiting > 0 ? waiting : null;
    };
    await until(isFull(1), { what: 'one worker to be full' });
    await stack.startWorker();
    await until(isFull(2), { what: 'two workers to be full' });
    await until(async () => (await stack.upstream.calls())['hanging'] === 2 * MAX_IN_FLIGHT, { what: 'all places to be taken' });
    await client.batches.cancel(batch.id);
  });
});
