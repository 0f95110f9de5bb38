import {
  type Client,
  isGrpcServiceError,
  QueryNotRegisteredError,
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import type { BatchRecord, RequestCounts } from '../domain/batch.ts';
import { isFileId } from '../domain/ids.ts';
import { isJsonRecord } from '../domain/json-type.ts';
import { batchPriority, urgentFromMs } from '../domain/priority.ts';
import { DEFAULT_TENANT, type TenantSettings } from '../domain/tenant.ts';
import { type BatchRun, openRun, restartedMemo } from './batch-run.ts';
import {
  type BatchInput,
  type BatchPolicy,
  CANCEL_SIGNAL,
  fairnessKey,
  type Progress,
  PROGRESS_QUERY,
  type SliceCounts,
  shardWorkflowId,
  WORKFLOW_TASK_QUEUE,
} from '../../workflows/contract.ts';

/** The only door of API and sweep to Temporal. Every call gives up after some seconds and throws `TemporalUnavailable`. */
export interface BatchRuns {
  /** Starts the workflow of a batch; one that runs already, or has ended well, is no error. */
  start(record: BatchRecord): Promise<void>;
  /** Tells a running batch to look at its record; no running batch is no error. */
  cancel(batchId: string): Promise<void>;
  /** Counts of a batch, its open shards and their running slices; null when it does not run or Temporal does not answer in time. */
  progress(batchId: string): Promise<Pick<RequestCounts, 'completed' | 'failed'> | null>;
  /** Ids of batches with a running workflow. */
  running(): Promise<Set<string>>;
  /** The run of a batch that is open now; null when none is. */
  describe(batchId: string): Promise<BatchRun | null>;
  /** Terminates a run, with its shards, and starts the batch anew. `atMs`, Unix milliseconds, is what `describe` says of the new run. */
  restart(record: BatchRecord, run: { runId: string; atMs: number }): Promise<void>;
  /** Resolves when Temporal answers for our namespace. */
  ping(): Promise<void>;
}

/** Temporal did not answer or refused; what was asked may or may not have happened. */
export class TemporalUnavailable extends Error {
  override readonly name = 'TemporalUnavailable';
}

const DEADLINE_MS = 5_000;

/** The door to Temporal for batches that run under this policy; the client may be one that has not connected yet. */
export function createBatchRuns({
  client,
  policy,
  settingsOf = () => DEFAULT_TENANT,
}: {
  client: Client;
  policy: BatchPolicy;
  /** Settings of a tenant now: the operator may have allowed a better priority when the batch was created. */
  settingsOf?: (tenant: string) => Pick<TenantSettings, 'weight' | 'bestPriority'>;
}): BatchRuns {
  function priorityOf({ batch, tenant }: BatchRecord) {
    const { weight, bestPriority } = settingsOf(tenant);
    const fairness = { fairnessKey: fairnessKey(tenant), ...(weight === 1 ? {} : { fairnessWeight: weight }) };
    return { priorityKey: batchPriority(batch.metadata, bestPriority), ...fairness };
  }

  async function ask<T>(what: string, call: () => Promise<T>): Promise<T> {
    try {
      return await client.withDeadline(Date.now() + DEADLINE_MS, call);
    } catch (error) {
      if (isTemporalError(error)) throw new TemporalUnavailable(`Temporal did not ${what}`, { cause: error });
      throw error;
    }
  }

  async function counts(workflowId: string): Promise<Progress | null> {
    try {
      return await client.withDeadline(Date.now() + DEADLINE_MS, () =>
        client.workflow.getHandle(workflowId).query<Progress>(PROGRESS_QUERY),
      );
    } catch (error) {
      if (isTemporalError(error)) return null;
      throw error;
    }
  }

  /** What the running slices of one run of a shard have stored; zeros when Temporal does not answer. */
  async function countsInHeartbeats(workflowId: string, runId: string): Promise<SliceCounts> {
    const sum = { completed: 0, failed: 0 };
    const { namespace } = client.options;
    try {
      const { pendingActivities } = await client.withDeadline(Date.now() + DEADLINE_MS, () =>
        client.workflowService.describeWorkflowExecution({ namespace, execution: { workflowId, runId } }),
      );
      for (const { heartbeatDetails } of pendingActivities ?? []) {
        const { completed, failed } = toSliceCounts(heartbeatDetails?.payloads?.[0]?.data);
        sum.completed += completed;
        sum.failed += failed;
      }
    } catch (error) {
      if (!isTemporalError(error)) throw error;
    }
    return sum;
  }

  /**
   * Counts of a shard. The query comes first: a slice that returns after it is neither pending nor booked, so no line counts twice.
   * A shard that does not answer counts as nothing: the sum is a lower bound, and what is shown never steps back.
   */
  async function shardCounts(batchId: string, shard: number): Promise<SliceCounts> {
    const workflowId = shardWorkflowId(batchId, shard);
    const { completed = 0, failed = 0, runId, largeSlicesOut = 0 } = (await counts(workflowId)) ?? {};
    if (runId === undefined || largeSlicesOut === 0) return { completed, failed };
    const running = await countsInHeartbeats(workflowId, runId);
    return { completed: completed + running.completed, failed: failed + running.failed };
  }

  async function start(record: BatchRecord, memo: Record<string, unknown>): Promise<void> {
    const { batch, tenant } = record;
    // Temporal's UI renders Markdown, and nothing has checked this id yet: text of a client could load an image of its own there.
    const inputFile = isFileId(batch.input_file_id) ? batch.input_file_id : 'a file that does not exist';
    const input: BatchInput = {
      tenant,
      batchId: batch.id,
      endpoint: batch.endpoint,
      inputFileId: batch.input_file_id,
      expiresAtMs: batch.expires_at * 1000,
      urgentFromMs: urgentFromMs({ createdAtMs: batch.created_at * 1000, expiresAtMs: batch.expires_at * 1000 }),
      policy,
      pace: null,
    };
    await ask('start a batch', async () => {
      try {
        await client.workflow.start('batch', {
          workflowId: batch.id,
          taskQueue: WORKFLOW_TASK_QUEUE,
          args: [input],
          // A run that was terminated or failed is begun again; one that runs or has ended well is left alone.
          workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
          workflowIdConflictPolicy: 'USE_EXISTING',
          memo,
          // Shards and activities inherit it. Tenants share the queues by their weights, however much each has in them.
          priority: priorityOf(record),
          staticSummary: `${batch.endpoint} of ${inputFile}`,
          staticDetails: `Tenant ${tenant}, input file ${inputFile}, endpoint ${batch.endpoint}`,
        });
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      }
    });
  }

  return {
    start: async (record) => await start(record, {}),

    async cancel(batchId) {
      await ask('take a cancel', async () => {
        try {
          await client.workflow.getHandle(batchId).signal(CANCEL_SIGNAL);
        } catch (error) {
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        }
      });
    },

    async progress(batchId) {
      const batch = await counts(batchId);
      if (batch === null) return null;
      const shards = await Promise.all(batch.openShards.map((shard) => shardCounts(batchId, shard)));
      let { completed, failed } = batch;
      for (const shard of shards) {
        completed += shard.completed;
        failed += shard.failed;
      }
      return { completed, failed };
    },

    async running() {
      const ids = new Set<string>();
      const { namespace } = client.options;
      const query = `WorkflowType = 'batch' AND ExecutionStatus = 'Running'`;
      for (let nextPageToken: Uint8Array = new Uint8Array(); ;) {
        // Each page has its own deadline, because a list of many batches takes longer than one.
        const page = await ask('list the running batches', () =>
          client.workflowService.listWorkflowExecutions({ namespace, query, pageSize: 1_000, nextPageToken }),
        );
        for (const { execution } of page.executions) ids.add(execution?.workflowId ?? '');
        nextPageToken = page.nextPageToken;
        if (nextPageToken.length === 0) return ids;
      }
    },

    async describe(batchId) {
      return await ask('describe a batch', async () => {
        try {
          return openRun(await client.workflow.getHandle(batchId).describe());
        } catch (error) {
          if (error instanceof WorkflowNotFoundError) return null;
          throw error;
        }
      });
    },

    async restart(record, { runId, atMs }) {
      const { id } = record.batch;
      await ask('end a batch that is stuck', async () => {
        try {
          await client.workflow.getHandle(id, runId).terminate('It should have ended and showed no activity: the sweep starts it anew.');
        } catch (error) {
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        }
      });
      await start(record, restartedMemo(atMs));
    },

    async ping() {
      // A server that has reached the rate limit of a namespace goes on telling about itself.
      await ask('answer', () => client.workflowService.describeNamespace({ namespace: client.options.namespace }));
    },
  };
}

/** The counts in the heartbeat details of a slice; zeros for those of a slice of one line, which has none. */
function toSliceCounts(data: Uint8Array | null | undefined): SliceCounts {
  const details: unknown = data == null || data.length === 0 ? null : JSON.parse(Buffer.from(data).toString());
  const { completed, failed } = isJsonRecord(details) ? details : {};
  return typeof completed === 'number' && typeof failed === 'number' ? { completed, failed } : { completed: 0, failed: 0 };
}

/** What Temporal or the way to it is to blame for; anything else is a mistake of ours and is thrown as it is. */
function isTemporalError(error: unknown): boolean {
  const itsOwn = [ServiceError, WorkflowNotFoundError, NamespaceNotFoundError, QueryNotRegisteredError];
  return isGrpcServiceError(error) || itsOwn.some((sort) => error instanceof sort);
}
