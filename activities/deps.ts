import type { BatchStatus } from '../src/domain/batch.ts';
import type { SegmentSize } from './plan-segments.ts';
import type { Limits } from '../src/domain/limits.ts';
import type { Logger } from 'pino';
import type { BatchStore } from '../src/storage/batch-store.ts';
import type { FileStore } from '../src/storage/file-store.ts';
import type { Housekeeping } from '../src/storage/housekeeping.ts';
import type { PieceStore } from '../src/storage/piece-store.ts';
import type { BatchRuns } from '../src/temporal/batch-runs.ts';
import type { QueuedBatches } from '../src/temporal/queued-batches.ts';
import type { ModelLists } from '../src/domain/model-list.ts';
import type { ModelRoutes } from '../src/domain/model-routes.ts';
import type { ResultCopies } from '../src/storage/own-bucket.ts';
import type { UsageStore } from '../src/storage/usage-store.ts';
import type { WebhookStore } from '../src/storage/webhook-store.ts';
import type { WebhookSender } from '../src/webhooks/sender.ts';
import type { Upstream } from '../src/upstream/upstream.ts';

/** Everything activities need from outside. */
export interface ActivityDeps {
  files: FileStore;
  batches: BatchStore;
  pieces: PieceStore;
  housekeeping: Housekeeping;
  runs: BatchRuns;
  /** Copies of result files in the buckets of tenants. */
  copies: ResultCopies;
  usage: Pick<UsageStore, 'add'>;
  webhooks: Pick<WebhookStore, 'all' | 'get'>;
  /** Null where this process has nothing to sign with. */
  webhookSender: Pick<WebhookSender, 'send'> | null;
  queuedBatches: QueuedBatches;
  /** By name. */
  upstreams: ReadonlyMap<string, Upstream>;
  /** Worker processes that take the requests of an upstream, this one included. */
  workersOf: (upstream: string) => number;
  routes: ModelRoutes;
  modelLists: ModelLists;
  limits: Limits;
  /** Bytes of bodies and answers in flight, over all upstreams of this process (256 MiB). */
  memoryBytes?: number;
  /** Input after which validation writes how far it has come (100,000 requests or 64 MiB). */
  segmentSize?: SegmentSize;
  /** Longest time for which the worker holds a heartbeat back, so that it becomes one call with later ones. */
  heartbeatThrottleMs: number;
  /** The sweep leaves markers of open batches alone that are younger: a creation or an end may be going on. */
  sweepMinAgeMs: number;
  /** What requests in flight get to finish after a cancel. */
  cancelGraceMs: number;
  /** Whether the completion window of a batch stands still while it is paused. */
  pauseStopsWindow: boolean;
  /** Called with the open batches that a sweep found. */
  onOpenBatches: (found: OpenBatches) => void;
  /** Age at which a multipart upload is taken for dead. */
  uploadMarkerMaxAgeMs: number;
  /** Unix time. */
  nowMs: () => number;
  /** Never set back; stands still while nobody looks only if the machine sleeps. */
  monotonicMs: () => number;
  /** Waits in milliseconds, until the signal ends it early. Never rejects. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 to 1, for jitter. */
  random: () => number;
  /** Random hex digits, so many. */
  randomHex: (digits: number) => string;
  /** Raised when this process is asked to end, before Temporal's worker is told. */
  draining: AbortSignal;
  logger: Logger;
}

/** `new`: too young for the sweep to read its record. `unread`: the time of the sweep did not reach it. */
export type OpenStatus = BatchStatus | 'new' | 'unread';

export interface OpenBatches {
  byStatus: ReadonlyMap<OpenStatus, number>;
  /** 0 where none is open. */
  oldestAgeSeconds: number;
}
