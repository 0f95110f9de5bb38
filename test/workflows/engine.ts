import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import { createQueuedBatches } from '../../src/temporal/queued-batches.ts';
import { ensureQueues } from '../../src/temporal/upstream-queues.ts';
import { workflowBundle } from '../../src/temporal/workflow-bundle.ts';
import {
  type BatchRef,
  requestsTaskQueue,
  RESULTS_TASK_QUEUE,
  SEARCH_ATTRIBUTES,
  VALIDATION_TASK_QUEUE,
  WORKFLOW_TASK_QUEUE,
} from '../../workflows/contract.ts';
import { startTemporal, startTimeSkippingTemporal, type TestServer } from '../helpers/servers.ts';
import type { BatchActivities, Model } from './model.ts';

/** Temporal's number for the type Keyword. */
const KEYWORD = 2;
const UPSTREAMS = ['main', 'other'];

/** The activities of sweeps that find nothing. */
const OTHERS: Pick<Activities, 'reviveBatches' | 'cleanBucket' | 'deliverWebhook'> = {
  deliverWebhook: async () => ({ outcome: 'delivered' }),
  reviveBatches: async () => ({ started: 0, restarted: 0, signalled: 0, removed: 0, failed: 0, left: 0 }),
  cleanBucket: async () => ({ removed: 0, failed: [], next: {} }),
};

/** A Temporal server with real workers, on which batches of models run. */
export interface Engine extends AsyncDisposable {
  readonly server: TestServer;
  readonly client: Client;
  readonly connection: Connection;
  /** Makes a model known to the workers. */
  add(model: Model): void;
  /** Adds a model and starts its batch. */
  start(model: Model): Promise<WorkflowHandle>;
  /** Replays the histories of this server on the workflows, or those of one type; answers how many, and what did not replay. */
  replay(type?: 'batch' | 'shard'): Promise<{ replayed: number; errors: string[] }>;
}

/** Starts workers for all models against a dev server, or against one whose clock skips what nobody works in. */
export async function startEngine({ skipsTime = false } = {}): Promise<Engine> {
  // Tests terminate workflows under running activities, on which Core comments at length.
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'OFF' } } });
  const server = await (skipsTime ? startTimeSkippingTemporal() : startTemporal());
  const models = new Map<string, BatchActivities>();
  const of = ({ batchId }: Pick<BatchRef, 'batchId'>): BatchActivities => {
    const found = models.get(batchId);
    if (found === undefined) throw new Error(`no model of ${batchId}`);
    return found;
  };
  const { address } = server;
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const queued = createQueuedBatches({ client });
  const activities: Omit<Activities, 'runRequests'> = {
    validateInput: (input) => of(input).validateInput(input),
    readShard: (input) => of(input).readShard(input),
    listStored: (input) => of(input).listStored(input),
    closeShard: (input) => of(input).closeShard(input),
    appendResults: (input) => of(input).appendResults(input),
    publishResults: (input) => of(input).publishResults(input),
    saveBatch: (input) => of(input).saveBatch(input),
    ...OTHERS,
    askToEnter: async ({ upstream, from }) => await queued.askToEnter(upstream, from),
    findEnded: async ({ batchIds }) => await queued.ended(batchIds),
  };
  if (skipsTime) {
    const searchAttributes = Object.fromEntries(SEARCH_ATTRIBUTES.map((name) => [name, KEYWORD]));
    await connection.operatorService.addSearchAttributes({ namespace: 'default', searchAttributes });
  }
  const native = await NativeConnection.connect({ address });
  const bundle = await workflowBundle(join(tmpdir(), 'nightshift-test-bundles'));
  const workers = await Promise.all([
    Worker.create({
      connection: native,
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowBundle: bundle,
      activities,
      maxHeartbeatThrottleInterval: '100ms',
    }),
    ...[VALIDATION_TASK_QUEUE, RESULTS_TASK_QUEUE].map(async (taskQueue) =>
      Worker.create({ connection: native, taskQueue, activities, maxHeartbeatThrottleInterval: '100ms' }),
    ),
    ...UPSTREAMS.map(async (upstream) =>
      Worker.create({
        connection: native,
        taskQueue: requestsTaskQueue(upstream),
        activities: { runRequests: (input: Parameters<Activities['runRequests']>[0]) => of(input).runRequests(input) },
        maxHeartbeatThrottleInterval: '100ms',
        defaultHeartbeatThrottleInterval: '100ms',
      }),
    ),
  ]);
  const running = workers.map((worker) => worker.run());
  // Batches for an upstream that has no worker are admitted as well, and wait for one.
  await ensureQueues({ client, upstreams: [...UPSTREAMS, 'away'] });
  return {
    server,
    client,
    connection,
    add: (model) => void models.set(model.id, model.activities),
    async start(model) {
      models.set(model.id, model.activities);
      return await client.workflow.start('batch', {
        workflowId: model.id,
        taskQueue: WORKFLOW_TASK_QUEUE,
        args: [model.input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
      });
    },
    async replay(type) {
      const query = type === undefined ? '' : `WorkflowType = '${type}'`;
      const [histories, errors] = [client.workflow.list({ query }).intoHistories(), new Array<string>()];
      let replayed = 0;
      for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle: bundle }, histories)) {
        replayed += 1;
        if (error !== undefined) errors.push(`${workflowId}: ${error.message}`);
      }
      return { replayed, errors };
    },
    async [Symbol.asyncDispose]() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await connection.close();
      await native.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** What Temporal's UI shows above the history of a workflow. */
export async function detailsOf(workflow: WorkflowHandle): Promise<string> {
  const metadata = await workflow.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return metadata.currentDetails;
}
