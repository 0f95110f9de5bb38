import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import { NativeConnection, Worker } from '@temporalio/worker';
import { connectTemporal, type TemporalConnection } from '../../src/temporal/connection.ts';
import { provision } from '../../src/temporal/provision.ts';
import { workflowBundle } from '../../src/temporal/workflow-bundle.ts';
import {
  CLEAN_SCHEDULE_ID,
  type CleanBucketInput,
  type CleanPosition,
  REVIVE_SCHEDULE_ID,
  SEARCH_ATTRIBUTES,
  WORKFLOW_TASK_QUEUE,
} from '../../workflows/contract.ts';
import { startTemporal, type TestServer } from '../helpers/servers.ts';
import { until } from '../workflows/model.ts';

const DAY_MS = 86_400_000;
const NAMESPACE = 'fresh';

describe('provision', () => {
  let server: TestServer;
  let temporal: TemporalConnection;
  before(async () => {
    server = await startTemporal();
    temporal = connectTemporal({ address: server.address, namespace: NAMESPACE, apiKey: null, tls: false });
    // A namespace that has no search attributes yet, unlike the one the dev server starts with.
    await temporal.connection.workflowService.registerNamespace({
      namespace: NAMESPACE,
      workflowExecutionRetentionPeriod: msToTs(DAY_MS),
    });
    await until('the namespace is there', async () => {
      return await temporal.client.schedule
        .getHandle('none')
        .describe()
        .then(
          () => true,
          (error: Error) => error.name === 'ScheduleNotFoundError',
        );
    });
  });
  after(async () => {
    await temporal.connection.close();
    await server[Symbol.asyncDispose]();
  });

  const run = async (sweepIntervalMs: number, retentionDays = 3): Promise<string | null> =>
    await provision({ connection: temporal.connection, namespace: NAMESPACE, sweepIntervalMs, retentionDays });
  const retentionMs = async (): Promise<number> => {
    const { config } = await temporal.connection.workflowService.describeNamespace({ namespace: NAMESPACE });
    return tsToMs(config?.workflowExecutionRetentionTtl);
  };

  it('begins the first sweep at once when the schedule is new', async () => {
    // An hour: no sweep of the interval comes in time.
    await run(3_600_000);
    const actions = async () => (await temporal.client.schedule.getHandle(REVIVE_SCHEDULE_ID).describe()).info.numActionsTaken;
    await until('the first sweep begins', async () => (await actions()) === 1);
    await run(3_600_000);
    assert.equal(await actions(), 1);
  });

  it('sets retention, search attributes and schedule, twice as well as once', async () => {
    assert.equal(await run(60_000), null);
    assert.equal(await run(60_000), null);
    assert.equal(await retentionMs(), 3 * DAY_MS);
    const { customAttributes } = await temporal.connection.operatorService.listSearchAttributes({ namespace: NAMESPACE });
    for (const name of SEARCH_ATTRIBUTES) assert.equal(customAttributes[name], 2, `${name} is of type Keyword`);
    for (const [id, type, limitMs] of [
      [REVIVE_SCHEDULE_ID, 'revive', 120_000],
      [CLEAN_SCHEDULE_ID, 'clean', 3_600_000],
    ] as const) {
      const { spec, policies, action } = await temporal.client.schedule.getHandle(id).describe();
      assert.deepEqual(
        spec.intervals?.map(({ every }) => every),
        [60_000],
      );
      assert.deepEqual([policies.overlap, policies.catchupWindow], [ScheduleOverlapPolicy.SKIP, 60_000]);
      assert.deepEqual([action.workflowType, action.workflowExecutionTimeout], [type, limitMs]);
    }
  });

  it('changes the schedule when the interval changes, and only then', async () => {
    const schedule = temporal.client.schedule.getHandle(REVIVE_SCHEDULE_ID);
    await run(60_000);
    const before = (await schedule.describe()).info.lastUpdatedAt;
    await run(60_000);
    assert.deepEqual((await schedule.describe()).info.lastUpdatedAt, before);
    await run(30_000);
    assert.deepEqual(
      (await schedule.describe()).spec.intervals?.map(({ every }) => every),
      [30_000],
    );
  });

  it('leaves a schedule paused that an operator paused', async () => {
    const schedule = temporal.client.schedule.getHandle(REVIVE_SCHEDULE_ID);
    await run(30_000);
    await schedule.pause('by hand');
    await run(45_000);
    assert.equal((await schedule.describe()).state.paused, true);
  });

  it('removes the schedule of the time when one sweep did everything', async () => {
    const { schedule } = temporal.client;
    const action = { type: 'startWorkflow' as const, workflowType: 'sweep', taskQueue: 'none' };
    await schedule.create({ scheduleId: 'nightshift-sweep', spec: { intervals: [{ every: '1h' }] }, action });
    await run(60_000);
    await assert.rejects(schedule.getHandle('nightshift-sweep').describe(), { name: 'ScheduleNotFoundError' });
  });

  it('leaves a longer retention as it is', async () => {
    await run(60_000, 3);
    await run(60_000, 2);
    assert.equal(await retentionMs(), 3 * DAY_MS);
  });

  it('makes everything anew in many processes at once', async () => {
    await temporal.client.schedule.getHandle(REVIVE_SCHEDULE_ID).delete();
    assert.deepEqual(await Promise.all([run(60_000), run(60_000), run(60_000)]), [null, null, null]);
  });

  it('starts sweeps that look after batches while another one cleans, and that clean on where the last one stopped', async () => {
    const cleanings: CleanPosition[] = [];
    const { promise: cleaned, resolve: finishCleaning } = Promise.withResolvers<void>();
    let revivals = 0;
    const native = await NativeConnection.connect({ address: server.address });
    const worker = await Worker.create({
      connection: native,
      namespace: NAMESPACE,
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowBundle: await workflowBundle(join(tmpdir(), 'nightshift-test-bundles')),
      activities: {
        async reviveBatches() {
          revivals += 1;
          return { started: 0, restarted: 0, signalled: 0, removed: 0, failed: 0, left: 0 };
        },
        async cleanBucket({ from }: CleanBucketInput) {
          cleanings.push(from);
          if (cleanings.length === 1) return { removed: 1, failed: [], next: { work: 'batch_5' } };
          await cleaned;
          return { removed: 0, failed: [], next: {} };
        },
      },
    });
    const running = worker.run();
    await run(1_000);
    await until('a second cleaning', () => cleanings.length === 2);
    const before = revivals;
    await until('two sweeps of batches meanwhile', () => revivals >= before + 2);
    assert.deepEqual(cleanings, [{}, { work: 'batch_5' }]);
    finishCleaning();
    await until('a third cleaning', () => cleanings.length === 3);
    assert.deepEqual(cleanings[2], {});
    worker.shutdown();
    await running;
    await native.close();
  });
});
