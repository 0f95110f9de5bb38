import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import { connectTemporal, type TemporalConnection } from '../../src/temporal/connection.ts';
import { provision } from '../../src/temporal/provision.ts';
import { SEARCH_ATTRIBUTES, SWEEP_SCHEDULE_ID } from '../../workflows/contract.ts';
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

  it('sets retention, search attributes and schedule, twice as well as once', async () => {
    assert.equal(await run(60_000), null);
    assert.equal(await run(60_000), null);
    assert.equal(await retentionMs(), 3 * DAY_MS);
    const { customAttributes } = await temporal.connection.operatorService.listSearchAttributes({ namespace: NAMESPACE });
    for (const name of SEARCH_ATTRIBUTES) assert.equal(customAttributes[name], 2, `${name} is of type Keyword`);
    const { spec, policies, action } = await temporal.client.schedule.getHandle(SWEEP_SCHEDULE_ID).describe();
    assert.deepEqual(
      spec.intervals?.map(({ every }) => every),
      [60_000],
    );
    assert.deepEqual([policies.overlap, policies.catchupWindow], [ScheduleOverlapPolicy.SKIP, 60_000]);
    assert.deepEqual([action.workflowType, action.workflowExecutionTimeout], ['sweep', 600_000]);
  });

  it('changes the schedule when the interval changes, and only then', async () => {
    const schedule = temporal.client.schedule.getHandle(SWEEP_SCHEDULE_ID);
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
    const schedule = temporal.client.schedule.getHandle(SWEEP_SCHEDULE_ID);
    await run(30_000);
    await schedule.pause('by hand');
    await run(45_000);
    assert.equal((await schedule.describe()).state.paused, true);
  });

  it('leaves a longer retention as it is', async () => {
    await run(60_000, 3);
    await run(60_000, 2);
    assert.equal(await retentionMs(), 3 * DAY_MS);
  });

  it('makes everything anew in many processes at once', async () => {
    await temporal.client.schedule.getHandle(SWEEP_SCHEDULE_ID).delete();
    assert.deepEqual(await Promise.all([run(60_000), run(60_000), run(60_000)]), [null, null, null]);
  });
});
