import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { QUEUE_SIGNAL, type QueueAnswer } from '../../workflows/contract.ts';

/** What the queue of an upstream asks Temporal about batches. */
export interface QueuedBatches {
  /**
   * Asks one page of the batches in progress to enter the queue of this upstream again. `from` is `''` for the first page;
   * answers where the next one begins, or null after the last. Throws when Temporal does not answer.
   */
  askToEnter(upstream: string, from: string): Promise<string | null>;
  /** Which of these batches have no running workflow. Throws when Temporal does not answer. */
  ended(batchIds: readonly string[]): Promise<string[]>;
}

const DEADLINE_MS = 60_000;
const PAGE = 500;
const CALLS_AT_A_TIME = 10;
const QUERY = `WorkflowType = 'batch' AND ExecutionStatus = 'Running' AND BatchStatus = 'in_progress'`;

/** Asks Temporal through this client. */
export function createQueuedBatches({ client }: { client: Client }): QueuedBatches {
  const { namespace } = client.options;

  return {
    async askToEnter(upstream, from) {
      return await client.withDeadline(Date.now() + DEADLINE_MS, async () => {
        const { executions, nextPageToken } = await client.workflowService.listWorkflowExecutions({
          namespace,
          query: QUERY,
          pageSize: PAGE,
          nextPageToken: Buffer.from(from, 'base64'),
        });
        const ids = (executions ?? []).flatMap(({ execution }) => execution?.workflowId ?? []);
        await forEach(ids, async (batchId) => {
          const answer: QueueAnswer = { upstream, is: 'new' };
          await client.workflow.getHandle(batchId).signal(QUEUE_SIGNAL, answer).catch(ignoreUnknown);
        });
        return nextPageToken === null || nextPageToken === undefined || nextPageToken.length === 0
          ? null
          : Buffer.from(nextPageToken).toString('base64');
      });
    },

    async ended(batchIds) {
      const ended: string[] = [];
      await client.withDeadline(Date.now() + DEADLINE_MS, async () => {
        await forEach(batchIds, async (batchId) => {
          const found = await client.workflow.getHandle(batchId).describe().catch(ignoreUnknown);
          if (found?.status.name !== 'RUNNING') ended.push(batchId);
        });
      });
      return ended;
    },
  };
}

function ignoreUnknown(error: unknown): undefined {
  if (!(error instanceof WorkflowNotFoundError)) throw error;
}

async function forEach(ids: readonly string[], act: (id: string) => Promise<void>): Promise<void> {
  const rest = ids.values();
  await Promise.all(
    Array.from({ length: CALLS_AT_A_TIME }, async () => {
      for (const id of rest) await act(id);
    }),
  );
}
