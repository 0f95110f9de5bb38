import { TemporalFailure } from '@temporalio/workflow';
import { appendResults } from './activities.ts';
import { type Appended, type BatchInput } from './contract.ts';

/** Appends the results of closed shards to the result files while later shards run. */
export interface ResultAppender {
  /** A shard was closed. */
  closed(shard: number): void;
  /** Starts nothing more, and waits for what runs. */
  settle(): Promise<void>;
  /** For the run that continues this one. */
  readonly appended: Appended;
}

/**
 * One activity at a time, each for a run of closed shards from the first on. What fails is not repeated at once: the next one takes
 * over its shards, or publishing does.
 */
export function createResultAppender(input: BatchInput, plan: { shards: { length: number }; closed: readonly number[] }): ResultAppender {
  const { tenant, batchId, policy } = input;
  const closed = new Set(plan.closed);
  let appended = input.appended ?? { shards: 0, output: 0, error: 0 };
  /** All shards before this one are closed. */
  let closedShards = 0;
  let triedShards = appended.shards;
  let isSettling = false;
  let running: Promise<void> | null = null;

  function isDue(): boolean {
    while (closed.delete(closedShards)) closedShards += 1;
    // The last ones are left to publishing, which comes next.
    return !isSettling && closedShards < plan.shards.length && closedShards - triedShards >= policy.appendEveryShards;
  }

  async function appendAll(): Promise<void> {
    while (isDue()) {
      triedShards = closedShards;
      try {
        appended = await appendResults(policy, { tenant, batchId, closedShards, shards: plan.shards.length, appended });
      } catch (error) {
        if (!(error instanceof TemporalFailure)) throw error;
      }
    }
    running = null;
  }

  return {
    closed(shard) {
      closed.add(shard);
      if (running === null && isDue()) running = appendAll();
    },
    async settle() {
      isSettling = true;
      await running;
    },
    get appended() {
      return appended;
    },
  };
}
