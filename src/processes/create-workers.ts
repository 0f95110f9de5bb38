import { hostname } from 'node:os';
import {
  type ActivityInterceptorsFactory,
  type InjectedSinks,
  type NativeConnection,
  TransportError,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { createSlotSupplier } from './slot-supplier.ts';
import { requestsTaskQueue, type TraceSinks, WORKFLOW_TASK_QUEUE } from '../../workflows/contract.ts';

/** What Temporal calls all versions of our workers together. */
const DEPLOYMENT_NAME = 'nightshift';
const NONE = { type: 'fixed-size', numSlots: 1 } as const;

/** How to begin again with Temporal. */
interface Reconnecting {
  connect: () => Promise<NativeConnection>;
  /** Tries again what Temporal did not answer. */
  untilAnswered: <T>(attempt: () => Promise<T>) => Promise<T>;
}

/**
 * The Temporal workers of one process: one for workflows and their control activities, and one per upstream for requests,
 * so that a saturated upstream holds up nobody else.
 */
export async function createWorkers({
  connection,
  namespace,
  bundle,
  activities,
  upstreams,
  activityInterceptors,
  sinks,
  buildId,
  graceMs,
  heartbeatThrottleMs,
  ...reconnecting
}: {
  connection: NativeConnection;
  namespace: string;
  bundle: { codePath: string };
  activities: Activities;
  upstreams: readonly Pick<Upstream, 'name' | 'intake' | 'requestsPerMinute'>[];
  activityInterceptors: ActivityInterceptorsFactory[];
  sinks: InjectedSinks<TraceSinks>;
  /** The version of these workers: batches that begin on it stay on it. Null serves every batch. */
  buildId: string | null;
  /** What running activities get to finish after a shutdown began. */
  graceMs: number;
  heartbeatThrottleMs: number;
} & Reconnecting): Promise<Worker[]> {
  const { runRequests, ...control } = activities;
  const common = {
    connection,
    namespace,
    shutdownGraceTime: graceMs,
    shutdownForceTime: graceMs + 2_000,
    maxHeartbeatThrottleInterval: heartbeatThrottleMs,
    // NOTE: maxConcurrentActivityTaskPolls would be accepted and ignored; only poller behaviours count.
    activityTaskPollerBehavior: { type: 'autoscaling' },
    interceptors: { activity: activityInterceptors },
    // All queues belong to one version, so a pinned batch's requests stay on it as well.
    ...(buildId === null
      ? {}
      : {
          workerDeploymentOptions: {
            useWorkerVersioning: true,
            version: { deploymentName: DEPLOYMENT_NAME, buildId },
            defaultVersioningBehavior: 'PINNED',
          },
        }),
  } satisfies Partial<WorkerOptions>;
  const identity = (role: string) => `nightshift-${role}@${hostname()}:${process.pid}`;
  const create = async (options: WorkerOptions & { connection: NativeConnection }) => await createWorker(options, reconnecting);
  return await Promise.all([
    create({
      ...common,
      identity: identity('workflows'),
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowBundle: bundle,
      sinks,
      activities: control,
    }),
    ...upstreams.map(
      async ({ name, intake, requestsPerMinute }) =>
        await create({
          ...common,
          identity: identity(`requests-${name}`),
          taskQueue: requestsTaskQueue(name),
          activities: { runRequests },
          tuner: {
            activityTaskSlotSupplier: createSlotSupplier(intake),
            // There are none of these here.
            workflowTaskSlotSupplier: NONE,
            localActivityTaskSlotSupplier: NONE,
            nexusTaskSlotSupplier: NONE,
          },
          // Temporal holds it for all workers together: each request is an activity.
          ...(requestsPerMinute === null ? {} : { maxTaskQueueActivitiesPerSecond: requestsPerMinute / 60 }),
        }),
    ),
  ]);
}

/** A worker asks about its namespace once, and dies of a Temporal that refuses to tell for half a minute. */
async function createWorker(
  { connection: first, ...options }: WorkerOptions & { connection: NativeConnection },
  { connect, untilAnswered }: Reconnecting,
): Promise<Worker> {
  let connection: NativeConnection | null = first;
  const created = await untilAnswered(async () => {
    connection ??= await connect();
    try {
      return { worker: await Worker.create({ ...options, connection }) };
    } catch (error) {
      // Anything else is a mistake of ours, which no later try mends.
      if (!(error instanceof TransportError)) return { error };
      // The one that was not made stays registered with its connection.
      connection = null;
      throw error;
    }
  });
  if ('error' in created) throw created.error;
  return created.worker;
}
