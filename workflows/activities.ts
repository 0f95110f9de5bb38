import { ActivityCancellationType, proxyActivities, type RetryPolicy } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import {
  type Appended,
  type AppendResultsInput,
  type BatchPolicy,
  fairnessKey,
  type RanRequests,
  requestsTaskQueue,
  RESULTS_TASK_QUEUE,
  type RunRequestsInput,
  VALIDATION_TASK_QUEUE,
} from './contract.ts';

/** Infrastructure comes back: nothing a batch needs is ever given up. */
const FOREVER: RetryPolicy = { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '60s' };
/** How long after the end of the window an activity may still store what it has. */
const AFTER_DEADLINE_MS = 2 * 60_000;

/** Short ones: a matter of a few calls to the bucket. */
export const { saveBatch, readShard } = proxyActivities<Pick<Activities, 'saveBatch' | 'readShard'>>({
  startToCloseTimeout: '30s',
  retry: FOREVER,
});

/** The activities of a batch that take long, which beat. */
export function longActivities(policy: BatchPolicy): Pick<Activities, 'validateInput' | 'listStored' | 'closeShard' | 'publishResults'> {
  const options = { startToCloseTimeout: '6h', heartbeatTimeout: policy.heartbeatTimeoutMs, retry: FOREVER } as const;
  // A cancel leaves validation behind at once: an attempt that runs on writes the plan and nothing else.
  const { validateInput } = proxyActivities<Activities>({
    ...options,
    taskQueue: VALIDATION_TASK_QUEUE,
    cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
  const { listStored, closeShard, publishResults } = proxyActivities<Activities>({ ...options, taskQueue: RESULTS_TASK_QUEUE });
  return { validateInput, listStored, closeShard, publishResults };
}

/** What the queue of an upstream asks about its batches. */
export const { askToEnter, findEnded } = proxyActivities<Pick<Activities, 'askToEnter' | 'findEnded'>>({
  startToCloseTimeout: '2m',
  retry: FOREVER,
});

/** As OpenAI does it: waits that double, for 72 hours. An hour at most between two tries, so that a receiver that is back hears soon. */
export const { deliverWebhook } = proxyActivities<Pick<Activities, 'deliverWebhook'>>({
  startToCloseTimeout: '30s',
  scheduleToCloseTimeout: '72h',
  retry: { initialInterval: '5s', backoffCoefficient: 2, maximumInterval: '1h' },
});

/** Saves time and nothing else, so one that fails is not repeated. */
export async function appendResults(policy: BatchPolicy, input: AppendResultsInput): Promise<Appended> {
  const once = proxyActivities<Pick<Activities, 'appendResults'>>({
    taskQueue: RESULTS_TASK_QUEUE,
    startToCloseTimeout: '1h',
    scheduleToStartTimeout: '1m',
    heartbeatTimeout: policy.heartbeatTimeoutMs,
    retry: { maximumAttempts: 1 },
  });
  return await once.appendResults(input);
}

/** The next sweep makes good what this one missed. Its own budget ends it within a minute. */
export const { reviveBatches } = proxyActivities<Pick<Activities, 'reviveBatches'>>({
  startToCloseTimeout: '90s',
  heartbeatTimeout: '30s',
  retry: { maximumAttempts: 1 },
});

/** An attempt that lost its worker goes on in another one, from the position in its heartbeat. */
export const { cleanBucket } = proxyActivities<Pick<Activities, 'cleanBucket'>>({
  startToCloseTimeout: '15m',
  heartbeatTimeout: '30s',
  retry: { maximumAttempts: 3 },
});

/**
 * Sends the requests of a slice, on the task queue of its upstream. A cancel waits for the activity, which returns what it
 * has; the window bounds the retries, and the activity itself ends at the deadline. From `urgentFromMs` on it goes before all
 * that is not urgent.
 */
export async function runRequests(
  { policy, urgentFromMs }: { policy: BatchPolicy; urgentFromMs: number },
  input: RunRequestsInput,
): Promise<RanRequests> {
  const nowMs = Date.now();
  const windowLeftMs = Math.max(0, input.expiresAtMs - nowMs);
  const leftMs = windowLeftMs + AFTER_DEADLINE_MS + input.cancelGraceMs;
  const { firstLine, lastLine } = input;
  const slice = proxyActivities<Pick<Activities, 'runRequests'>>({
    taskQueue: requestsTaskQueue(input.upstream),
    startToCloseTimeout: leftMs,
    scheduleToCloseTimeout: leftMs,
    heartbeatTimeout: policy.heartbeatTimeoutMs,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: FOREVER,
    // Otherwise tenant and priority of the batch are inherited.
    ...(nowMs >= urgentFromMs ? { priority: { priorityKey: 1, fairnessKey: fairnessKey(input.tenant) } } : {}),
    summary: firstLine === lastLine ? `line ${firstLine}` : `lines ${firstLine}–${lastLine}`,
  });
  return await slice.runRequests(input);
}
