import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { SIZING } from '../../src/domain/slice.ts';
import { workflowBundle } from '../../src/temporal/workflow-bundle.ts';
import { payloadsOf, type StoredHistory, storedHistories, toReplay, withInput } from './histories.ts';
import { KINDS } from './kinds.ts';

/** The code that was released first knew neither `sizing` nor `batchesRunning`. */
const FIRST = '0.1.0';
const FIRST_KINDS = [
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

  function kindOf(workflowId: string): string | undefined {
    return [...stored].find(([, histories]) => histories.some((run) => run.workflowId === workflowId))?.[0];
  }

  /** The runs of one generation by kind. */
  function generation(name: string): Map<string, StoredHistory[]> {
    const ofIt = [...stored].filter(([path]) => path.startsWith(`${name}/`));
    return new Map(ofIt.map(([path, histories]) => [path.slice(name.length + 1), histories]));
  }

  /** Whether the code that ran handed to shards, and heard from activities, what today's does. */
  function isAsToday(histories: readonly StoredHistory[]): boolean {
    return histories.every((run) => {
      const { input, results } = payloadsOf(run);
      if (run.workflowId.includes('/')) {
        const saysAll = results.every((result) => !('covered' in result) || ('places' in result && 'workers' in result));
        return input['sizing'] === SIZING && 'shardStopTimeoutMs' in Object(input['policy']) && saysAll;
      }
      return results.every((result) => result['verdict'] !== 'accepted' || 'batchesRunning' in result);
    });
  }

  /** The newest generation that today's code could have left. */
  function today(): Map<string, StoredHistory[]> {
    const names = [...new Set([...stored.keys()].map((path) => path.split('/')[0] ?? ''))];
    return names.map(generation).findLast((kinds) => [...kinds.values()].every(isAsToday)) ?? new Map();
  }

  it('are kept of the first release, one of every kind of then', () => {
    assert.deepEqual([...generation(FIRST).keys()], FIRST_KINDS);
  });

  it('are kept of the workflows of today, one of every kind; if not, `npm run histories -- <name>` adds them', () => {
    assert.deepEqual([...today().keys()].toSorted(), Object.keys(KINDS).toSorted());
  });

  it('replay on the workflows of today; if not, put the change behind patched()', async () => {
    const failed = await replay([...stored.values()].flat());
    assert.deepEqual(
      failed.map(({ run, error }) => `${kindOf(run)}: ${run}: ${error.message}`),
      [],
    );
  });

  it('would not replay if the workflows took another step at the end', async () => {
    const changed = [...stored].map(([name, histories]) => {
      const batch = structuredClone(histories.find(({ workflowId }) => !workflowId.includes('/')));
      // As if the code of then had called another activity here.
      const step = batch?.history.events.findLast((event) => 'activityTaskScheduledEventAttributes' in event);
      assert.ok(batch && step, name);
      Object(step['activityTaskScheduledEventAttributes']).activityType.name = 'anotherActivity';
      return batch;
    });
    const failed = await replay(changed);
    assert.deepEqual(new Set(failed.map(({ run }) => kindOf(run))), new Set(stored.keys()));
    for (const { error } of failed) assert.ok(error instanceof DeterminismViolationError);
  });

  it('are kept of shards of every rule that sizes slices', () => {
    const shards = [...stored.values()].flat().filter(({ workflowId }) => workflowId.includes('/'));
    const rules = new Set(shards.map((run) => payloadsOf(run).input['sizing'] ?? 1));
    assert.deepEqual(rules, new Set(Array.from({ length: SIZING }, (_, index) => index + 1)));
  });

  it('would not replay if slices were sized by an earlier rule, or a history might be longer', async () => {
    const kinds = today();
    const other = (kind: string, change: (input: Record<string, unknown>) => object) =>
      (kinds.get(kind) ?? [])
        .filter(({ workflowId }) => workflowId.includes('/'))
        .map((run) => withInput(run, { ...payloadsOf(run).input, ...change(payloadsOf(run).input) }));
    for (const runs of [
      ...Array.from({ length: SIZING - 1 }, (_, index) => other('sized-by-pace', () => ({ sizing: index + 1 }))),
      other('long-history', ({ policy }) => ({ policy: { ...Object(policy), longHistoryEvents: 8_000 } })),
    ]) {
      const failed = await replay(runs);
      assert.ok(failed.length > 0, 'noticed nothing');
      for (const { error } of failed) assert.ok(error instanceof DeterminismViolationError);
    }
  });
});
