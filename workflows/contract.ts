import type { BatchStatus, RequestCounts } from '../src/domain/batch.ts';
import type { ShardRange } from '../src/domain/plan.ts';
import type { Pace } from '../src/domain/slice.ts';
import type { QueuedBatch } from '../src/domain/tenant-line.ts';
import type { QueueState } from '../src/domain/upstream-queue.ts';
import type { WebhookEvent } from '../src/domain/webhook.ts';

/**
 * Names and shapes that cross the border between API, workflows and activities. Only keys, names, numbers and counters cross it:
 * no bodies and no text of an upstream, because all of this stands in Temporal's history. Times are Unix milliseconds.
 */

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
  /** The upstreams of a shard whose lines go to several, the one above included; absent where all go to that one. */
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

/** Where a batch waits: its place among the batches of its tenant, and how many there are. Null until the queue has answered. */
export interface QueuePlace {
  upstream: string;
  place: number | null;
  of: number | null;
}

/** Input of the workflow `queue`. */
export interface QueueInput {
  upstream: string;
  /** What the run before knew; null for a queue that has to learn which batches there are. */
  state: QueueState | null;
  /** Which page of the running batches is asked next to enter: `''` for the first, null when all were asked. */
  askFrom: string | null;
  /** When it next looks for admitted batches that have ended without a word. */
  checkAtMs: number;
  /** A queue whose history is longer continues as new. */
  longHistoryEvents: number;
}

/** Signal of a batch that wants to use an upstream, or does so already; sent again, it replaces what the queue knew. */
export interface EnterQueue extends QueuedBatch {
  tenant: string;
  /** As Temporal shows it; null where its lines name several. */
  model: string | null;
  weight: number;
  isAdmitted: boolean;
  /** Requests that the upstream can have in flight, over all workers; null if the batch does not know. */
  capacity: number | null;
}

/** Signal of a batch that uses the upstream no more, or hardly. */
export interface LeaveQueue {
  batchId: string;
  capacity: number | null;
}

/**
 * What a queue tells a batch: that it may start, that it waits, that too many wait (so it has no place and asks again), or that
 * the queue is new and wants to hear of it.
 */
export type QueueAnswer = { upstream: string } & ({ is: 'admitted' | 'full' | 'new' } | { is: 'waiting'; place: number; of: number });

/** What the heartbeats of a slice of several lines count: lines of it that have an outcome in a piece. */
export type SliceCounts = Pick<RequestCounts, 'completed' | 'failed'>;

// ---- activities ----

/** An upstream of a batch, and what sizes the slices of its lines. */
export interface PlannedUpstream {
  name: string;
  /** One where the upstream has a budget of requests, so that Temporal can hold it; absent where the batch's policy decides. */
  linesPerActivity?: number;
  /** Requests that it may have in flight as far as its limiter knows by now, over all batches and workers; absent where this worker does not know it. */
  room?: number;
}

/** What `validateInput` found; the errors of a refused input stay in the bucket. */
export type ValidatedInput =
  | { verdict: 'refused' }
  /** There is no plan where there has to be one. */
  | { verdict: 'plan_missing' }
  | {
      verdict: 'accepted';
      total: number;
      /** As it is shown in Temporal, which may be less than the record says. */
      model: string | null;
      /** The first upstream of the plan, with what `PlannedUpstream` says of the others. */
      upstream: string;
      linesPerActivity?: number;
      room?: number;
      /** The other upstreams of the plan, in its order; absent where there are none. */
      otherUpstreams?: PlannedUpstream[];
      shards: ShardRange[];
      /** Batches that the worker runs, this one included. */
      batchesRunning: number;
      /** Numbers of the shards that are closed already (a batch started again). */
      closed: number[];
      /** Sums over the closed shards. */
      completed: number;
      failed: number;
    };

export interface ValidateInputInput extends BatchRef {
  endpoint: string;
  inputFileId: string;
  /** Whether the record says that the batch has started, so that a plan must be there; then none is made. */
  isPlanned: boolean;
}

export interface SaveBatchInput extends BatchRef {
  /** The status to move to; null only reads. An illegal move writes nothing. */
  to: Exclude<BatchStatus, 'validating'> | null;
  /** With `finalizing` and the like: counts to raise the record's to. */
  counts: Pick<RequestCounts, 'completed' | 'failed'> | null;
}

/** The record as it stands after an activity; the workflow goes on from this. */
export interface SavedBatch {
  status: BatchStatus;
  /** Whether it ever reached `in_progress`: if not, it ends without files. */
  started: boolean;
}

export interface RunRequestsInput extends BatchRef {
  endpoint: string;
  inputFileId: string;
  upstream: string;
  shard: number;
  /** The slice: physical lines, both inclusive, of one shard. */
  firstLine: number;
  lastLine: number;
  /** In a shard for several upstreams: number of the one whose lines these are, and how many there are of it between first and last. */
  mixed?: { upstream: number; lines: number };
  /** Faults these lines have had in a slice of many before (0 for a fresh slice). */
  faults: number;
  /** Timeouts among them, refusals, and the number of the server that a line was sent to last; absent where there is nothing to say. */
  timeouts?: number;
  refusals?: number;
  server?: number;
  /** Whether pieces of these lines may exist: list them before sending. Attempts after the first always do. */
  resumed: boolean;
  /** Whether a lost worker may still store an answer for these lines: heartbeats then count no failures. */
  contested: boolean;
  expiresAtMs: number;
  cancelGraceMs: number;
}

export interface RanRequests {
  /** Lines that have an outcome in a piece now, as ascending inclusive ranges, blank lines included. */
  covered: [first: number, last: number][];
  completed: number;
  failed: number;
  /** True when an earlier attempt lost its worker, which may still be running and store results; absent otherwise. */
  workerLost?: boolean;
  /** Lines to be handed out again, each as a slice of one, after `waitMs`. Lines in neither list were not touched and are handed out again as they were. */
  again: { line: number; faults: number; timeouts?: number; refusals?: number; server?: number; waitMs?: number }[];
  /** Requests answered by this attempt, and the mean time upstream (send to last byte) of this batch's at this worker, those still in flight included; 0 and 0 when none was. */
  answered: number;
  meanUpstreamMs: number;
  /** From scheduled to started. */
  waitedMs: number;
  /** Batches this worker runs requests of; shares the activity budget. */
  batchesRunning: number;
  /** Requests that the upstream may come to have in flight from this worker. */
  places: number;
  /** Requests that it may have in flight from this worker now. */
  limit: number;
  /** Workers that take requests for this upstream. */
  workers: number;
}

export interface ReadShardInput {
  batchId: string;
  shard: number;
}

/** The lines of a shard by the number of their upstream, as ascending inclusive ranges. */
export type ShardLines = { upstream: number; lines: [first: number, last: number][] }[];

export interface ListStoredInput extends BatchRef {
  shard: number;
}

/** The lines of a shard that have an outcome in a piece, as ascending inclusive ranges. */
export interface StoredLines {
  completed: [first: number, last: number][];
  failed: [first: number, last: number][];
}

export interface CloseShardInput extends BatchRef {
  range: ShardRange;
}

export type ClosedShard =
  | { closed: true; completed: number; failed: number }
  /** Lines without an outcome, ascending inclusive ranges; the batch is not ending, so they are handed out again. */
  | { closed: false; missing: [first: number, last: number][] };

/** How far results have been appended to the result files. */
export interface Appended {
  /** All shards before this one. */
  shards: number;
  /** Bytes of their results that do not make a part of an upload yet. */
  output: number;
  error: number;
}

export interface AppendResultsInput extends BatchRef {
  /** All shards before this one are closed. */
  closedShards: number;
  /** Shards of the batch. */
  shards: number;
  /** What the activity before answered. */
  appended: Appended;
}

export interface PublishResultsInput extends BatchRef {
  to: 'completed' | 'expired' | 'cancelled';
}

export interface AskToEnterInput {
  upstream: string;
  /** As in `QueueInput`. */
  from: string;
}

export interface FindEndedInput {
  batchIds: string[];
}

/** How many open batches a reviving sweep started, started anew, told of their cancel, and so on. */
export interface ReviveResult {
  started: number;
  /** They ran, should have ended and showed no activity. */
  restarted: number;
  signalled: number;
  /** Markers of batches that had ended. */
  removed: number;
  /** The next sweep tries again. */
  failed: number;
  /** The time of the sweep did not reach them. */
  left: number;
}

/** What a cleaning sweep removes, in this order. Contents come last: the bucket answers late while a client reads what is to be removed. */
export const CLEAN_STEPS = ['work', 'files', 'uploads', 'resumable', 'probes', 'idempotency', 'contents'] as const;
export type CleanStep = (typeof CLEAN_STEPS)[number];
/** The last key that a step looked at; a step that begins at the beginning is absent. */
export type CleanPosition = Partial<Record<CleanStep, string>>;

export interface CleanBucketInput {
  from: CleanPosition;
}

export interface CleanResult {
  removed: number;
  /** Steps that failed; the next sweep tries again. */
  failed: CleanStep[];
  /** Where the next sweep goes on. */
  next: CleanPosition;
}

/** One event for one webhook endpoint. */
export interface DeliverWebhookInput {
  tenant: string;
  endpointId: string;
  event: WebhookEvent;
}

export interface DeliveredWebhook {
  /** `gone`: the receiver wants no more of them (410). */
  outcome: 'delivered' | 'endpoint_deleted' | 'gone';
  status?: number;
}

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
