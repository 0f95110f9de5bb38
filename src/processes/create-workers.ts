import { hostname } from 'node:os';
import {
  type ActivityInterceptorsFactory,
  type InjectedSinks,
  type NativeConnection,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import { HEARTBEAT_THROTTLE_MS } from '../../activities/deps.ts';
import type { Activities } from '../../activities/index.ts';
import { requestsTaskQueue, type TraceSinks, WORKFLOW_TASK_QUEUE } from '../../workflows/contract.ts';

/** Most slices of one upstream that a process takes at a time. */
const MAX_SLICES = 2_000;

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
  graceMs,
}: {
  connection: NativeConnection;
  namespace: string;
  bundle: { codePath: string };
  activities: Activities;
  upstreams: readonly { name: string; maxInFlight: number }[];
  activityInterceptors: ActivityInterceptorsFactory[];
  sinks: InjectedSinks<TraceSinks>;
  /** What running activities get to finish after a shutdown began. */
  graceMs: number;
}): Promise<Worker[]> {
  const { runRequests, ...control } = activities;
  const common = {
    connection,
    namespace,
    shutdownGraceTime: graceMs,
    shutdownForceTime: graceMs + 2_000,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE_MS,
    // NOTE: maxConcurrentActivityTaskPolls would be accepted and ignored; only poller behaviours count.
    activityTaskPollerBehavior: { type: 'autoscaling' },
    interceptors: { activity: activityInterceptors },
  } satisfies Partial<WorkerOptions>;
  const identity = (role: string) => `nightshift-${role}@${hostname()}:${process.pid}`;
  return await Promise.all([
    Worker.create({
      ...common,
      identity: identity('workflows'),
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowBundle: bundle,
      sinks,
      activities: control,
    }),
    ...upstreams.map(
      async ({ name, maxInFlight }) =>
        await Worker.create({
          ...common,
          identity: identity(`requests-${name}`),
          taskQueue: requestsTaskQueue(name),
          activities: { runRequests },
          // Slices of one: as many as may be in flight, and as many again that wait for their turn.
          maxConcurrentActivityTaskExecutions: Math.min(2 * maxInFlight, MAX_SLICES),
        }),
    ),
  ]);
}
