import type { RequestCounts } from '../src/domain/batch.ts';
import type { ShardRange } from '../src/domain/plan.ts';
import type { Pace } from '../src/domain/slice.ts';
import type { Appended } from './contract-activities.ts';
import type { QueuePlace } from './contract-queue.ts';

/**
 * Names and shapes that cross the border between API, workflows and activities. Only keys, names, numbers and counters cross it:
 * no bodies and no text of an upstream, because all of this stands in Temporal's history. Times are Unix milliseconds.
 */

export * from './contract-activities.ts';
export * from './contract-queue.ts';

/** Workflows, and activities that take a moment. */
export const WORKFLOW_TASK_QUEUE = 'nightshift';
/**
 * Control activities that take long have task queues of their own, so that a short one never waits behind them: validation of a large input takes
 * minutes, the results of a shard seconds.
 */
export const VALIDATION_TASK_QUEUE = 'nightshift-validation';
export const RESULTS_TASK_QUEUE = 'nightshift-results';
/** One task queue per upstream, so that a saturated one holds up nobody else. */
export function requestsTaskQueue(upstream: string): string {
  return `requests-${upstream}`;
}
/** Tenants share the task queues evenly; Temporal takes keys of at most 64 bytes, and names of tenants are ASCII. */
export function fairnessKey(tenant: string): string {
  return tenant.slice(0, 64);
}
/** Schedules of the sweep: `revive` looks after open batches, `clean` removes what nobody needs. */
export const REVIVE_SCHEDULE_ID = 'nightshift-revive';
export const CLEAN_SCHEDULE_ID = 'nightshift-clean';
/** Names of signals and queries. */
export const CANCEL_SIGNAL = 'cancel';
/** The record of the batch has changed: the batch reads it. */
export const CHANGED_SIGNAL = 'changed';
/** For operators, by hand: the batch pauses itself or goes on. A shard ends without being closed. */
export const PAUSE_SIGNAL = 'pause';
export const RESUME_SIGNAL = 'resume';
export const SHARD_DRAINED_SIGNAL = 'shardDrained';
export const PROGRESS_QUERY = 'progress';
/** Signals from a batch to the queue of an upstream, and the one that answers. */
export const ENTER_SIGNAL = 'enter';
export const LEAVE_SIGNAL = 'leave';
export const QUEUE_SIGNAL = 'queue';
/** Lists who uses an upstream and who waits for it: `QueueListing[]`. */
export const QUEUE_QUERY = 'queue';
/** Search attributes, all of type Keyword. */
export const SEARCH_ATTRIBUTES = ['BatchStatus', 'BatchModel', 'BatchTenant'] as const;

/** Workflow id of a batch is its id; of a shard `<batch id>/shard-0007`. */
export function shardWorkflowId(batchId: string, shard: number): string {
  return `${batchId}/shard-${String(shard).padStart(4, '0')}`;
}

/** Workflow id of the queue in which batches wait for an upstream. */
export function queueWorkflowId(upstream: string): string {
  return `queue/${upstream}`;
}

export interface BatchRef {
  tenant: string;
  batchId: string;
}

/** Everything that shapes commands; in the input, so that a change of configuration never disturbs a replay. */
export interface BatchPolicy {
  /** Requests that may be in flight for one batch, over all workers; the lead ends at two to six times this (`mostLead`). */
  maxInFlight: number;
  /** Most shards open (handing out or ending) at a time. */
  maxOpenShards: number;
  /** Shards after which the batch continues as new. */
  shardsPerRun: number;
  /** Activities per second that all running batches of the deployment may start together. */
  activitiesPerSecond: number;
  /** Fixes the lines per activity; null lets them follow the pace. */
  linesPerActivity: number | null;
  /** A shard whose history is longer hands out nothing more, and begins again with a fresh one. */
  longHistoryEvents: number;
  /** Closed shards after which the batch appends their results to the result files. */
  appendEveryShards: number;
  /** What requests in flight get to finish after a cancel. */
  cancelGraceMs: number;
  /** After this long without a heartbeat of an activity Temporal gives it to another worker. */
  heartbeatTimeoutMs: number;
  /** How long after the grace the batch waits for a shard that was asked to stop. */
  shardStopTimeoutMs: number;
}

export interface BatchInput extends BatchRef {
  endpoint: string;
  inputFileId: string;
  /** End of the completion window. */
  expiresAtMs: number;
  /** From then on the requests of the batch go before those of batches with more time. */
  urgentFromMs: number;
  policy: BatchPolicy;
  /** Handed on by a run that continued as new; null at the start. */
  pace: Pace | null;
  /** The same of the upstreams after the first, by name; absent where there are none. */
  otherPaces?: Record<string, Pace>;
  /** Handed on as well: results that are in the result files; absent at the start. */
  appended?: Appended;
}

export interface ShardInput extends BatchRef {
  endpoint: string;
  inputFileId: string;
  upstream: string;
  expiresAtMs: number;
  urgentFromMs: number;
  policy: BatchPolicy;
  range: ShardRange;
  pace: Pace;
  /** Shards of the batch that hand out lines at a time: each may use this fraction of the lead. */
  shardsHandingOut: number;
  /** True when pieces of an earlier run may exist: the shard asks for them once, before it hands out lines. */
  resumed: boolean;
  /** The upstreams of a shard whose lines go to several or not all to one, the one above included; absent where all go to that one. */
  mixed?: MixedUpstream[];
}

/** One of several upstreams of a shard. */
export interface MixedUpstream {
  name: string;
  /** Its number in the plan. */
  upstream: number;
  linesPerActivity: number | null;
  pace: Pace;
  shardsHandingOut: number;
}

/** How a shard ended: closed, or stopped by cancel or expiry with lines still to close. */
export interface ShardEnd {
  shard: number;
  closed: boolean;
  completed: number;
  failed: number;
  pace: Pace;
  /** Of a shard for several upstreams, by name. */
  paces?: Record<string, Pace>;
}

/** Signal of a shard that has handed out its last line and has half of what may be out back: the next one can start. */
export interface ShardDrained {
  shard: number;
  pace: Pace;
  /** Which upstream has run dry, of a shard for several: the others may hand out more. */
  upstream?: string;
}

/** Answer of a batch to the `progress` query; null until its plan is known. */
export interface Progress {
  /** Sums over the closed shards. What lines of the others came to is in the batch's tallies in the bucket. */
  completed: number;
  failed: number;
  /** Numbers of the shards that are not closed, as ascending inclusive ranges. */
  unclosed: [first: number, last: number][];
  /** The queues in which the batch waits, before it may hand out lines; absent afterwards. */
  waiting?: QueuePlace[];
}

/** What the heartbeats of a slice of several lines count: lines of it that have an outcome in a piece. */
export type SliceCounts = Pick<RequestCounts, 'completed' | 'failed'>;

/** The header that carries a trace through Temporal; name and shape are those of Temporal's own interceptors. */
export const TRACE_HEADER = '_tracer-data';

/** W3C trace context. */
export interface TraceCarrier {
  traceparent: string;
  tracestate?: string;
}

/** What a workflow tells the worker of its span. A type and no interface, because sinks want an index signature. */
export type TraceSinks = {
  spans: { ended(span: { parent: TraceCarrier; startMs: number; endMs: number; isFailed: boolean }): void };
};

/** The span of a run, made out of its id: the workflow and the worker that exports it come to the same one. */
export function ownSpanId(runId: string): string {
  return runId.replaceAll('-', '').slice(-16);
}
