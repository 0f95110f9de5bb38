import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import packageJson from '../../package.json' with { type: 'json' };
import { workflowBundle } from '../../src/temporal/workflow-bundle.ts';
import { inputOf, type StoredHistory, storedHistories, toReplay, withInput } from './histories.ts';
import { KINDS } from './kinds.ts';

describe('recorded workflow histories', () => {
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

  function kindOf(workflowId: string): string | undefined {
    return [...stored].find(([, histories]) => histories.some((run) => run.workflowId === workflowId))?.[0];
  }

  it('exist for this version, one of every kind; if not, run `npm run histories`', () => {
    const ofThisVersion = [...stored.keys()].filter((path) => path.startsWith(`${packageJson.version}/`));
    assert.deepEqual(
      ofThisVersion.toSorted(),
      Object.keys(KINDS)
        .map((kind) => `${packageJson.version}/${kind}`)
        .toSorted(),
    );
  });

  it('replay on the workflows as they are; if not, put the change behind patched(), or record again before the version is tagged', async () => {
    const failed = await replay([...stored.values()].flat());
    assert.deepEqual(
      failed.map(({ run, error }) => `${kindOf(run)}: ${run}: ${error.message}`),
      [],
    );
  });

  it('would not replay if the workflows took another step at the end', async () => {
    const changed = [...stored].map(([name, histories]) => {
      const batch = structuredClone(histories.find(({ workflowId }) => workflowId.startsWith('batch_') && !workflowId.includes('/')));
      // As if the code that was recorded had called another activity here.
      const step = batch?.history.events.findLast((event) => 'activityTaskScheduledEventAttributes' in event);
      assert.ok(batch && step, name);
      Object(step['activityTaskScheduledEventAttributes']).activityType.name = 'anotherActivity';
      return batch;
    });
    const failed = await replay(changed);
    assert.deepEqual(new Set(failed.map(({ run }) => kindOf(run))), new Set(stored.keys()));
    for (const { error } of failed) assert.ok(error instanceof DeterminismViolationError);
  });

  it('would not replay if slices were sized in another way, or a history might be longer', async () => {
    const other = (kind: string, policy: object) =>
      (stored.get(`${packageJson.version}/${kind}`) ?? [])
        .filter(({ workflowId }) => workflowId.includes('/'))
        .map((run) => withInput(run, { ...inputOf(run), policy: { ...Object(inputOf(run)['policy']), ...policy } }));
    for (const runs of [other('sized-by-pace', { linesPerActivity: 3 }), other('long-history', { longHistoryEvents: 8_000 })]) {
      const failed = await replay(runs);
      assert.ok(failed.length > 0, 'noticed nothing');
      for (const { error } of failed) assert.ok(error instanceof DeterminismViolationError);
    }
  });
});
