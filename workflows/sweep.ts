import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { cleanBucket, reviveBatches } from './activities.ts';
import type { CleanResult, ReviveResult } from './contract.ts';

/** Looks after the open batches once. A schedule starts it, apart from `clean`, so that no amount of cleaning holds it up. */
export async function revive(): Promise<ReviveResult> {
  const result = await reviveBatches();
  const { failed, left } = result;
  if (failed + left > 0) {
    const message = `${failed} open batches could not be looked after, and ${left} were not reached in time. The log of the worker says why; the next sweep tries again.`;
    throw ApplicationFailure.nonRetryable(message, 'SweepIncomplete');
  }
  return result;
}

/** Cleans the bucket from the position at which the last run stopped: Temporal hands on the result of the last run of a schedule. */
export async function clean(): Promise<CleanResult> {
  const last = workflowInfo().lastResult as CleanResult | undefined;
  return await cleanBucket({ from: last?.next ?? {} });
}
