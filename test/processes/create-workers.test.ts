import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Activities } from '../../activities/index.ts';
import { cachedWorkflows } from '../../src/processes/cached-workflows.ts';
import { queuesOf } from '../../src/processes/create-workers.ts';
import { WORKER_ROLES, type WorkerRole } from '../../src/config/settings.ts';
import { traceSinks } from '../../src/telemetry/temporal-tracing.ts';
import { createStageUpstreams } from '../activities/stage.ts';

const never = async () => await Promise.reject(new Error('not called'));
const ACTIVITIES: Activities = {
  validateInput: never,
  readShard: never,
  listStored: never,
  runRequests: never,
  closeShard: never,
  appendResults: never,
  publishResults: never,
  saveBatch: never,
  askToEnter: never,
  findEnded: never,
  deliverWebhook: never,
  reviveBatches: never,
  cleanBucket: never,
};

/** The task queues of these roles, with the activities of each. */
function queues(roles: readonly WorkerRole[]) {
  const upstreams = [...createStageUpstreams({ url: 'http://127.0.0.1:1' }).values()];
  const found = queuesOf({
    roles,
    bundle: { codePath: '' },
    sinks: traceSinks(null),
    maxCachedWorkflows: 10,
    activities: ACTIVITIES,
    upstreams,
  });
  return Object.fromEntries(found.map(({ taskQueue, activities = {} }) => [taskQueue, Object.keys(activities).sort()]));
}

describe('queuesOf', () => {
  it('gives each activity one task queue, and long control activities none that has short ones', () => {
    const all = queues(WORKER_ROLES);
    assert.deepEqual(Object.values(all).flat().sort(), Object.keys(ACTIVITIES).sort());
    assert.deepEqual(all['nightshift'], [
      'askToEnter',
      'cleanBucket',
      'deliverWebhook',
      'findEnded',
      'readShard',
      'reviveBatches',
      'saveBatch',
    ]);
    assert.deepEqual(all['nightshift-validation'], ['validateInput']);
    assert.deepEqual(all['nightshift-results'], ['appendResults', 'closeShard', 'listStored', 'publishResults']);
  });

  it('polls the task queues of its roles only', () => {
    assert.deepEqual(Object.keys(queues(['workflows'])), ['nightshift']);
    assert.deepEqual(Object.keys(queues(['control'])), ['nightshift-validation', 'nightshift-results']);
    assert.deepEqual(Object.keys(queues(['requests'])), ['requests-example']);
  });
});

describe('cachedWorkflows', () => {
  it('follows the memory of the process between its bounds', () => {
    assert.deepEqual(
      [64, 1024, 4096, 65_536].map((mib) => cachedWorkflows(mib * 1024 * 1024)),
      [100, 307, 1228, 10_000],
    );
  });
});
