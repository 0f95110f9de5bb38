import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import packageJson from '../../package.json' with { type: 'json' };
import { workflowBundle } from '../../src/temporal/workflow-bundle.ts';
import { type StoredHistory, storedHistories, toReplay } from './histories.ts';

const KINDS_OF_BATCH = [
  ...['cancelled-in-progress', 'cancelled-in-temporal', 'cancelled-while-finalizing', 'cancelled-while-validating'],
  ...['completed', 'continued-as-new', 'expired', 'faults-and-losses', 'refused', 'shard-terminated', 'terminated-and-resumed'],
];

describe('batches that ran on the workflows as they were released', () => {
  let bundle: { codePath: string };
  let stored: Map<string, StoredHistory[]>;
  before(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'OFF' } } });
    bundle = await workflowBundle(join(tmpdir(), 'nightshift-test-bundles'));
    stored = await storedHistories();
  });

  /** The runs that today's workflows do not replay, and why. */
  async function replay(histories: readonly StoredHistory[]): Promise<{ run: string; error: Error }[]> {
    const failed: { run: string; error: Error }[] = [];
    const results = Worker.runReplayHistories({ workflowBundle: bundle }, histories.map(toReplay));
    for await (const { workflowId, error } of results) if (error !== undefined) failed.push({ run: workflowId, error });
    return failed;
  }

  it('are kept for this version, one of every kind', () => {
    const ofThisVersion = [...stored.keys()].filter((name) => name.startsWith(`${packageJson.version}/`));
    assert.deepEqual(
      ofThisVersion,
      KINDS_OF_BATCH.map((kind) => `${packageJson.version}/${kind}`),
    );
  });

  it('replay on the workflows of today; if not, put the change behind patched()', async () => {
    for (const [name, histories] of stored) {
      assert.ok(histories.length > 0, name);
      const failed = await replay(histories);
      assert.deepEqual(
        failed.map(({ run, error }) => `${run}: ${error.message}`),
        [],
        name,
      );
    }
  });

  it('would not replay if the workflows took another step at the end', async () => {
    for (const [name, histories] of stored) {
      const [batch] = histories.filter(({ workflowId }) => !workflowId.includes('/'));
      assert.ok(batch);
      const changed = structuredClone(batch);
      // As if the code of then had called another activity here.
      const step = changed.history.events.findLast((event) => 'activityTaskScheduledEventAttributes' in event);
      assert.ok(step);
      Object(step['activityTaskScheduledEventAttributes']).activityType.name = 'anotherActivity';
      const [failed] = await replay([changed]);
      assert.ok(failed?.error instanceof DeterminismViolationError, `${name} noticed nothing`);
    }
  });
});
