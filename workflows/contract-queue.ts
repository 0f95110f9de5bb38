import type { QueuedBatch } from '../src/domain/tenant-line.ts';
import type { QueueState } from '../src/domain/upstream-queue.ts';

/** What batches and the queues of upstreams tell each other; see `contract.ts` for what may cross this border. */

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
