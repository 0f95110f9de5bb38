import {
  type Client,
  isGrpcServiceError,
  QueryNotRegisteredError,
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import type { BatchRecord } from '../domain/batch.ts';
import { isFileId } from '../domain/ids.ts';
import { batchPriority, urgentFromMs } from '../domain/priority.ts';
import type { QueueListing } from '../domain/upstream-queue.ts';
import { DEFAULT_TENANT, type TenantSettings } from '../domain/tenant.ts';
import { type BatchRun, openRun, restartedMemo } from './batch-run.ts';
import {
  type BatchInput,
  type BatchPolicy,
  CANCEL_SIGNAL,
  CHANGED_SIGNAL,
  type DeliverWebhookInput,
  fairnessKey,
  type Progress,
  PROGRESS_QUERY,
  QUEUE_QUERY,
  queueWorkflowId,
  WORKFLOW_TASK_QUEUE,
} from '../../workflows/contract.ts';

/** The only door of API and sweep to Temporal. Every call gives up after some seconds and throws `TemporalUnavailable`. */
export interface BatchRuns {
  /** Starts the workflow of a batch; one that runs already, or has ended well, is no error. */
  start(record: BatchRecord): Promise<void>;
  /** Tells a running batch to look at its record; no running batch is no error. */
  cancel(batchId: string): Promise<void>;
  /** Tells a running batch that its record has changed; no running batch is no error. */
  tellChanged(batchId: string): Promise<void>;
  /** What the workflow of a batch knows, in one query; null when it does not run, has no plan yet or does not answer in time. */
  progress(batchId: string): Promise<Progress | null>;
  /** The lines of batches in the queue of an upstream; null when there is no queue, or it does not answer in time. */
  queue(upstream: string): Promise<QueueListing[] | null>;
  /** Ids of batches with a running workflow. */
  running(): Promise<Set<string>>;
  /** The run of a batch that is open now; null when none is. */
  describe(batchId: string): Promise<BatchRun | null>;
  /** Terminates a run, with its shards, and starts the batch anew. `atMs`, Unix milliseconds, is what `describe` says of the new run. */
  restart(record: BatchRecord, run: { runId: string; atMs: number }): Promise<void>;
  /** Starts the delivery of an event to a webhook endpoint; one that was started before is no error. `host` is shown in Temporal's UI. */
  startDelivery(input: DeliverWebhookInput & { host: string }): Promise<void>;
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

  async function signal(batchId: string, name: string): Promise<void> {
    await ask('take a signal', async () => {
      try {
        await client.workflow.getHandle(batchId).signal(name);
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
    });
  }

  async function query<T>(workflowId: string, name: string): Promise<T | null> {
    try {
      return await client.withDeadline(Date.now() + DEADLINE_MS, () => client.workflow.getHandle(workflowId).query<T>(name));
    } catch (error) {
      if (isTemporalError(error)) return null;
      throw error;
    }
  }

  return {
    start: async (record) => await start(record, {}),

    cancel: async (batchId) => await signal(batchId, CANCEL_SIGNAL),
    tellChanged: async (batchId) => await signal(batchId, CHANGED_SIGNAL),

    progress: async (batchId) => await query<Progress | null>(batchId, PROGRESS_QUERY),
    queue: async (upstream) => await query<QueueListing[]>(queueWorkflowId(upstream), QUEUE_QUERY),

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

    async startDelivery({ host, ...input }) {
      const { event, endpointId, tenant } = input;
      await ask('start the delivery of a webhook', async () => {
        try {
          await client.workflow.start('webhook', {
            workflowId: `${event.id}/${endpointId}`,
            taskQueue: WORKFLOW_TASK_QUEUE,
            args: [input],
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            workflowIdConflictPolicy: 'USE_EXISTING',
            staticSummary: `${event.type} to ${host}`,
            staticDetails: `Tenant ${tenant}, batch ${event.data.id}, webhook endpoint ${endpointId}`,
          });
        } catch (error) {
          if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        }
      });
    },

    async ping() {
      // A server that has reached the rate limit of a namespace goes on telling about itself.
      await ask('answer', () => client.workflowService.describeNamespace({ namespace: client.options.namespace }));
    },
  };
}

/** What Temporal or the way to it is to blame for; anything else is a mistake of ours and is thrown as it is. */
function isTemporalError(error: unknown): boolean {
  const itsOwn = [ServiceError, WorkflowNotFoundError, NamespaceNotFoundError, QueryNotRegisteredError];
  return isGrpcServiceError(error) || itsOwn.some((sort) => error instanceof sort);
}
