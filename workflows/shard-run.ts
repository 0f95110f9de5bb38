import {
  ChildWorkflowCancellationType,
  type ChildWorkflowHandle,
  condition,
  type ExternalWorkflowHandle,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  startChild,
  TemporalFailure,
} from '@temporalio/workflow';
import { PAUSE_SIGNAL, type ShardEnd, type ShardInput, shardWorkflowId } from './contract.ts';
import type { Ending } from './ending.ts';
import type { shard } from './shard.ts';
import { upstreamsInWords } from './batch-details.ts';

interface StartedRun {
  workflowId: string;
  firstExecutionRunId?: string;
}

/**
 * Runs one shard as a child workflow. Returns null if the shard ended without a result: it was terminated, it failed, or it
 * did not start because its predecessor still runs. When the batch ends or is paused, the shard is asked to stop and returns what it has.
 */
export async function runShardWorkflow(input: ShardInput, { onEnd, onPause }: Pick<Ending, 'onEnd' | 'onPause'>): Promise<ShardEnd | null> {
  const starting = startShard(input);
  let isRunning = true;
  const asking = [
    onEnd(() => {
      forget();
      // Not the cancellation of a scope: Temporal passes that on at once, and drops it if the shard does not exist yet.
      void askToStop(starting, () => isRunning);
    }),
    // It ends without being closed, and another run of it goes on from its pieces.
    onPause(() => void askUntilHeard(starting, { isRunning: () => isRunning, ask: async (run) => await run.signal(PAUSE_SIGNAL) })),
  ];
  function forget(): void {
    for (const each of asking) each();
  }
  try {
    const child = await starting;
    return await child.result();
  } catch (error) {
    if (error instanceof TemporalFailure) return null;
    throw error;
  } finally {
    isRunning = false;
    forget();
  }
}

async function startShard(input: ShardInput): Promise<ChildWorkflowHandle<typeof shard>> {
  const { batchId, range, upstream, mixed } = input;
  return await startChild<typeof shard>('shard', {
    workflowId: shardWorkflowId(batchId, range.shard),
    args: [input],
    parentClosePolicy: ParentClosePolicy.TERMINATE,
    cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    staticSummary: `lines ${range.firstLine}–${range.lastLine}`,
    staticDetails: `${range.requests} requests for ${upstreamsInWords(mixed?.map(({ name }) => name) ?? [upstream])}`,
  });
}

/** Waits for a workflow to start, then requests its cancellation until Temporal accepts the request or the workflow has ended. */
export async function askToStop(starting: Promise<StartedRun>, isRunning: () => boolean): Promise<void> {
  await askUntilHeard(starting, { isRunning, ask: async (run) => await run.cancel() });
}

async function askUntilHeard(
  starting: Promise<StartedRun>,
  { isRunning, ask }: { isRunning: () => boolean; ask: (run: ExternalWorkflowHandle) => Promise<void> },
): Promise<void> {
  const started = await starting.catch(() => null);
  // Not started: there is nothing to stop.
  if (started === null) return;
  // The id of the run, because a predecessor with the same workflow id may still be dying.
  const run = getExternalWorkflowHandle(started.workflowId, started.firstExecutionRunId);
  for (let waitMs = 1_000; isRunning(); waitMs = Math.min(30_000, 2 * waitMs)) {
    try {
      await ask(run);
      return;
    } catch (error) {
      if (!(error instanceof TemporalFailure)) throw error;
      await condition(() => !isRunning(), waitMs);
    }
  }
}
