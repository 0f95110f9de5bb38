import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Connection } from '@temporalio/client';
import { type InternalConnectionOptions, InternalConnectionOptionsSymbol } from '@temporalio/client/lib/connection.js';
import { msToTs } from '@temporalio/common/lib/time.js';
import { queueWorkflowId } from '../../workflows/contract.ts';
import { type Engine, startEngine } from './engine.ts';
import { createModel, until } from './model.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** What turns on the clock of the time-skipping server; only a connection that asks for it has this service. */
async function clockOf(engine: Engine): Promise<{ skip: (ms: number) => Promise<void>; close: () => Promise<void> }> {
  const options: InternalConnectionOptions = {
    address: engine.server.address,
    [InternalConnectionOptionsSymbol]: { supportsTestService: true },
  };
  const connection = await Connection.connect(options);
  const { testService } = connection;
  assert.ok(testService);
  return {
    // The one request that waits in its queue holds the clock; this lets go of it for so long.
    skip: async (ms) => void (await testService.unlockTimeSkippingWithSleep({ duration: msToTs(ms) })),
    close: async () => await connection.close(),
  };
}

describe('a window of 24 hours', () => {
  it('expires after 24 hours, neither sooner nor later', async () => {
    await using engine = await startEngine({ skipsTime: true });
    const clock = await clockOf(engine);
    // Nobody works for this upstream, so nothing but the window can end the batch.
    const model = createModel({ shards: [1], windowMs: DAY_MS, upstream: 'away' });
    const handle = await engine.start(model);
    const shard = engine.client.workflow.getHandle(`${model.id}/shard-0000`);
    await until('its request waits in the queue', async () => {
      const { raw } = await shard.describe().catch(() => ({ raw: null }));
      return raw?.pendingActivities?.some(({ activityType }) => activityType?.name === 'runRequests') ?? false;
    });
    // A queue looks at its batches every minute, 1,440 times a day. It has admitted this one and is not needed any more.
    await engine.client.workflow.getHandle(queueWorkflowId('away')).terminate('test');
    await clock.skip(DAY_MS - 2 * MINUTE_MS);
    assert.equal((await handle.describe()).status.name, 'RUNNING');
    await clock.skip(3 * MINUTE_MS);
    assert.equal(await handle.result(), 'expired');
    const { startTime, closeTime } = await handle.describe();
    const tookMs = (closeTime?.getTime() ?? 0) - startTime.getTime();
    // The window begins when the model is made, a little before the workflow.
    assert.ok(tookMs >= DAY_MS - MINUTE_MS && tookMs <= DAY_MS + 2 * MINUTE_MS, `${tookMs} ms`);
    assert.deepEqual(model.statuses, ['validating', 'in_progress', 'expired']);
    assert.deepEqual([...model.closedShards.values()], [{ completed: 0, failed: 0, unrun: 1 }]);
    await clock.close();
  });
});
