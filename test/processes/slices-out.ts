import { Client, Connection } from '@temporalio/client';
import { shardWorkflowId } from '../../workflows/contract.ts';

/** Of Temporal's PendingActivityState. */
const [SCHEDULED, STARTED] = [1, 2];

/** Slices of a batch's first shard: those that a worker has taken, and those that wait in Temporal for one. */
export async function slicesOut(address: string, batchId: string): Promise<{ taken: number; waiting: number }> {
  const connection = await Connection.connect({ address });
  try {
    const { raw } = await new Client({ connection }).workflow.getHandle(shardWorkflowId(batchId, 0)).describe();
    const states = raw.pendingActivities?.map(({ state }) => Number(state)) ?? [];
    return { taken: states.filter((state) => state === STARTED).length, waiting: states.filter((state) => state === SCHEDULED).length };
  } catch {
    // The shard has not begun yet.
    return { taken: 0, waiting: 0 };
  } finally {
    await connection.close();
  }
}

/** The worker processes that took a slice of a batch's first shard. */
export async function workersOf(address: string, batchId: string): Promise<Set<string>> {
  const connection = await Connection.connect({ address });
  try {
    const { events } = await new Client({ connection }).workflow.getHandle(shardWorkflowId(batchId, 0)).fetchHistory();
    return new Set(events?.flatMap(({ activityTaskStartedEventAttributes }) => activityTaskStartedEventAttributes?.identity ?? []));
  } finally {
    await connection.close();
  }
}
