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
import type { WorkerRole } from '../config/settings.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { createSlotSupplier } from './slot-supplier.ts';
import {
  requestsTaskQueue,
  RESULTS_TASK_QUEUE,
  type TraceSinks,
  VALIDATION_TASK_QUEUE,
  WORKFLOW_TASK_QUEUE,
} from '../../workflows/contract.ts';

/** What Temporal calls all versions of our workers together. */
const DEPLOYMENT_NAME = 'nightshift';
const NONE = { type: 'fixed-size', numSlots: 1 } as const;

/** How to begin again with Temporal. */
interface Reconnecting {
  connect: () => Promise<NativeConnection>;
  /** Tries again what Temporal did not answer. */
  untilAnswered: <T>(attempt: () => Promise<T>) => Promise<T>;
}

/** Validations, and separately closings and publishings, that a process runs at a time. Their memory has a bound of its own: `ControlMemory`. */
const CONTROL_SLOTS = 16;
/** Workflow tasks that a process runs at a time, as by default; the SDK wants no more than it caches. */
const WORKFLOW_SLOTS = 40;

type Queue = Pick<
  WorkerOptions,
  | 'taskQueue'
  | 'activities'
  | 'workflowBundle'
  | 'sinks'
  | 'tuner'
  | 'maxCachedWorkflows'
  | 'maxConcurrentWorkflowTaskExecutions'
  | 'maxConcurrentActivityTaskExecutions'
  | 'maxTaskQueueActivitiesPerSecond'
> & { name: string };

/** What a process is to do. */
interface Work {
  roles: readonly WorkerRole[];
  bundle: { codePath: string };
  sinks: InjectedSinks<TraceSinks>;
  maxCachedWorkflows: number;
  activities: Activities;
  upstreams: readonly Pick<Upstream, 'name' | 'intake' | 'requestsPerMinute'>[];
}

/**
 * The Temporal workers of one process, one per task queue of its roles. Each has slots of its own: a saturated upstream and a control activity
 * that takes long hold up nothing else.
 */
export async function createWorkers({
  connection,
  namespace,
  activityInterceptors,
  buildId,
  graceMs,
  heartbeatThrottleMs,
  connect,
  untilAnswered,
  ...work
}: Work & {
  connection: NativeConnection;
  namespace: string;
  activityInterceptors: ActivityInterceptorsFactory[];
  /** The version of these workers: batches that begin on it stay on it. Null serves every batch. */
  buildId: string | null;
  /** What running activities get to finish after a shutdown began. */
  graceMs: number;
  heartbeatThrottleMs: number;
} & Reconnecting): Promise<Worker[]> {
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
  return await Promise.all(
    queuesOf(work).map(async ({ name, ...queue }) => {
      const identity = `nightshift-${name}@${hostname()}:${process.pid}`;
      return await createWorker({ ...common, ...queue, identity }, { connect, untilAnswered });
    }),
  );
}

/** The task queues that a process polls. */
export function queuesOf({ roles, bundle, sinks, maxCachedWorkflows, activities, upstreams }: Work): Queue[] {
  const { runRequests, validateInput, listStored, closeShard, appendResults, publishResults, ...short } = activities;
  const maxConcurrentActivityTaskExecutions = CONTROL_SLOTS;
  const queues: Readonly<Record<WorkerRole, Queue[]>> = {
    workflows: [
      {
        name: 'workflows',
        taskQueue: WORKFLOW_TASK_QUEUE,
        workflowBundle: bundle,
        sinks,
        maxCachedWorkflows,
        maxConcurrentWorkflowTaskExecutions: Math.min(WORKFLOW_SLOTS, maxCachedWorkflows),
        activities: short,
      },
    ],
    control: [
      { name: 'validation', taskQueue: VALIDATION_TASK_QUEUE, activities: { validateInput }, maxConcurrentActivityTaskExecutions },
      {
        name: 'results',
        taskQueue: RESULTS_TASK_QUEUE,
        activities: { listStored, closeShard, appendResults, publishResults },
        maxConcurrentActivityTaskExecutions,
      },
    ],
    requests: upstreams.map(({ name, intake, requestsPerMinute }) => ({
      name: `requests-${name}`,
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
    })),
  };
  return roles.flatMap((role) => queues[role]);
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
