import { CancellationScope } from '@temporalio/workflow';
import { askToStop } from '../../workflows/shard-run.ts';

/** Asks a workflow to stop that may not be there yet. */
export async function asks(workflowId: string): Promise<void> {
  await askToStop(Promise.resolve({ workflowId }), () => true);
}

/** Runs until it is cancelled. */
export async function waits(): Promise<string> {
  await CancellationScope.current().cancelRequested.catch(() => undefined);
  return 'stopped';
}
