import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, type StackProcess, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const LINES = 240;
/** A batch takes most of a minute, so that a worker can start and end meanwhile; what is left of it then is done with quickly. */
const [SLOW, QUICK] = [{ latency: 1_600 }, { latency: 20 }];
const input = (name: string, lines = LINES): string =>
  Array.from({ length: lines }, (_, index) => chatLine(`${name}-${index + 1}`, `marker=${name}-${index + 1}`)).join('\n');

describe('NIGHTSHIFT_BUILD_ID', () => {
  let stack: Stack;
  let connection: Connection;
  let one: StackProcess;
  let two: StackProcess;

  before(async () => {
    stack = await startStack({
      env: {
        NIGHTSHIFT_BUILD_ID: 'one',
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '8',
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '5',
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '1',
      },
      upstream: ['--latency', String(QUICK.latency)],
    });
    one = stack.worker;
    connection = await Connection.connect({ address: stack.temporal.address });
  });
  after(async () => {
    await connection.close();
    await stack[Symbol.asyncDispose]();
  });

  async function makeCurrent(buildId: string): Promise<void> {
    const set = async () =>
      await connection.workflowService
        .setWorkerDeploymentCurrentVersion({ namespace: 'default', deploymentName: 'nightshift', buildId, identity: 'test' })
        .then(() => true)
        // Its workers have not asked for work yet.
        .catch(() => false);
    await until(set, { what: `version ${buildId} to be current`, seconds: 60 });
  }

  async function completed(batchId: string): Promise<number> {
    return (await stack.client().batches.retrieve(batchId)).request_counts?.completed ?? 0;
  }

  /** The workers, by pid, that did anything for a batch or its shards. */
  async function pidsOf(batchId: string): Promise<Set<string>> {
    const client = new Client({ connection });
    const pids = new Set<string>();
    for await (const { workflowId, runId } of client.workflow.list()) {
      if (!workflowId.startsWith(batchId)) continue;
      const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      for (const event of events ?? []) {
        const identity = event.activityTaskStartedEventAttributes?.identity ?? event.workflowTaskCompletedEventAttributes?.identity;
        if (identity) pids.add(identity.split(':').at(-1) ?? identity);
      }
    }
    return pids;
  }
  const pid = ({ child }: StackProcess): string => String(child.pid);

  it('gives a version nothing until it is current', async () => {
    const created = await submit(stack.client(), input('waiting', 1));
    await until(async () => one.log().includes('"working"'), { what: 'the worker to work', seconds: 60 });
    assert.equal((await stack.client().batches.retrieve(created.id)).status, 'validating');
    await makeCurrent('one');
    assert.equal((await ended(stack.client(), created.id)).status, 'completed');
  });

  it('keeps a batch and its requests on the version it began on, while new batches go to the new one', { timeout: 400_000 }, async () => {
    await stack.upstream.set(SLOW);
    const old = await submit(stack.client(), input('old'));
    await until(async () => (await completed(old.id)) > 0, { what: 'first answers', seconds: 60 });
    two = await stack.startWorker(undefined, { NIGHTSHIFT_BUILD_ID: 'two' });
    await makeCurrent('two');
    assert.ok((await completed(old.id)) < LINES, 'the old batch is open when the new version takes over');
    await stack.upstream.set(QUICK);

    const young = await submit(stack.client(), input('young', 20));
    assert.equal((await ended(stack.client(), young.id)).status, 'completed');
    assert.equal((await ended(stack.client(), old.id, 120)).status, 'completed');
    assert.deepEqual(await pidsOf(young.id), new Set([pid(two)]));
    assert.deepEqual(await pidsOf(old.id), new Set([pid(one)]));
  });

  it('takes a batch whose version is gone to the current one when its workflow is terminated', { timeout: 400_000 }, async () => {
    await makeCurrent('one');
    await stack.upstream.set(SLOW);
    const created = await submit(stack.client(), input('orphan'));
    await until(async () => (await completed(created.id)) > 0, { what: 'first answers', seconds: 60 });
    await makeCurrent('two');
    assert.equal(await one.stop('SIGTERM'), 0);
    const before = await completed(created.id);
    assert.ok(before < LINES, 'it was stopped in the middle');
    await stack.upstream.set(QUICK);

    await new Client({ connection }).workflow.getHandle(created.id).terminate('its version is gone');
    const batch = await ended(stack.client(), created.id, 240);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: LINES, completed: LINES, failed: 0 }]);
    assert.equal((await resultLines(stack.client(), batch.output_file_id)).length, LINES);
    const calls = await stack.upstream.calls();
    const again = Object.entries(calls).filter(([marker, times]) => marker.startsWith('orphan') && times > 1);
    assert.deepEqual(again, [], 'nothing that was answered is asked again');
  });
});
