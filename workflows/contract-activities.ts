import type { BatchStatus, RequestCounts } from '../src/domain/batch.ts';
import type { ShardRange } from '../src/domain/plan.ts';
import type { WebhookEvent } from '../src/domain/webhook.ts';
import type { BatchRef } from './contract.ts';

/** The inputs and answers of activities; see `contract.ts` for what may cross this border. */

/** An upstream of a batch, and what sizes the slices of its lines. */
export interface PlannedUpstream {
  name: string;
  /** One where the upstream has a budget of requests, so that Temporal can hold it; absent where the batch's policy decides. */
  linesPerActivity?: number;
  /** Requests that it may have in flight as far as its limiter knows by now, over all batches and workers; absent where this worker does not know it. */
  capacity?: number;
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
      capacity?: number;
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
  /** Pauses or resumes the batch. */
  pause?: boolean;
}

/** The record as it stands after an activity; the workflow goes on from this. */
export interface SavedBatch {
  status: BatchStatus;
  /** Whether it ever reached `in_progress`: if not, it ends without files. */
  started: boolean;
  pause: SavedPause;
}

/** What the record says of pauses. */
export interface SavedPause {
  /** Of two reads, the one with more changes is later. */
  changes: number;
  isPaused: boolean;
  /** End of the completion window; null while it stands still. */
  windowEndMs: number | null;
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
