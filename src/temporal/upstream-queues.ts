import type { Client } from '@temporalio/client';
import { type QueueInput, queueWorkflowId, WORKFLOW_TASK_QUEUE } from '../../workflows/contract.ts';

const DEADLINE_MS = 10_000;
/** Temporal suggests 4,096. A run may have ten times as many events, and 10,000 signals. */
const LONG_HISTORY_EVENTS = 4_000;

/**
 * Makes sure that the queue of each upstream runs; one that runs already is left as it is. A queue that starts learns from the
 * batches what there is, so one that was terminated or lost loses nothing. Throws when Temporal does not answer.
 */
export async function ensureQueues({
  client,
  upstreams,
  longHistoryEvents = LONG_HISTORY_EVENTS,
}: {
  client: Client;
  upstreams: readonly string[];
  longHistoryEvents?: number;
}): Promise<void> {
  await client.withDeadline(Date.now() + DEADLINE_MS, async () => {
    for (const upstream of upstreams) {
      const input: QueueInput = { upstream, state: null, askFrom: '', checkAtMs: 0, longHistoryEvents };
      await client.workflow.start('queue', {
        workflowId: queueWorkflowId(upstream),
        taskQueue: WORKFLOW_TASK_QUEUE,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'USE_EXISTING',
        // Every new batch waits for its answer.
        priority: { priorityKey: 1 },
        staticSummary: `queue of upstream ${upstream}`,
      });
    }
  });
}
