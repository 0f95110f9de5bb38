import { type Batch, type BatchRecord, type BatchStatus, isTerminal, type RequestCounts } from './batch.ts';
import { withoutPause } from './pause.ts';

/** The legal moves, all of them (docs/contract.md, "Statuses"). */
const NEXT: Record<BatchStatus, readonly BatchStatus[]> = {
  validating: ['failed', 'in_progress', 'cancelling', 'expired'],
  in_progress: ['finalizing', 'cancelling', 'expired'],
  finalizing: ['completed', 'cancelling'],
  cancelling: ['cancelled'],
  failed: [],
  completed: [],
  expired: [],
  cancelled: [],
};

const TIMESTAMP_OF = {
  in_progress: 'in_progress_at',
  finalizing: 'finalizing_at',
  completed: 'completed_at',
  failed: 'failed_at',
  expired: 'expired_at',
  cancelling: 'cancelling_at',
  cancelled: 'cancelled_at',
} as const satisfies Record<Exclude<BatchStatus, 'validating'>, keyof Batch>;

/**
 * The batch in its next status, with the timestamp of that status set, never below one already there, nor `expired_at` below
 * the end of the window; null when the move is not legal. `nowSeconds` is Unix time. A pause ends with the last request.
 */
export function transition(batch: Batch, to: BatchStatus, nowSeconds: number): Batch | null {
  if (to === 'validating' || !NEXT[batch.status].includes(to)) return null;
  const earlier = Object.values(TIMESTAMP_OF).map((field) => batch[field] ?? 0);
  return {
    ...(to === 'in_progress' ? batch : withoutPause(batch)),
    status: to,
    [TIMESTAMP_OF[to]]: Math.max(nowSeconds, to === 'expired' ? batch.expires_at : batch.created_at, ...earlier),
  };
}

/** Whether a batch may have had the first status before the second one, or has it still. */
export function isNotAfter(earlier: BatchStatus, later: BatchStatus): boolean {
  return earlier === later || NEXT[earlier].some((next) => isNotAfter(next, later));
}

/** What a cancel does to a batch of this status: begins it, changes nothing (it is on the way), or is refused (409). */
export function canCancel(status: BatchStatus): 'cancel' | 'unchanged' | 'refused' {
  if (NEXT[status].includes('cancelling')) return 'cancel';
  return status === 'cancelling' || status === 'cancelled' ? 'unchanged' : 'refused';
}

/**
 * The batch with its counts raised to those given where these are higher. Neither count ever steps back, and their sum
 * never passes the total. Answers the same object when nothing changes.
 */
export function raiseCounts(batch: Batch, given: Pick<RequestCounts, 'completed' | 'failed'>): Batch {
  const { total, ...found } = batch.request_counts;
  const completed = Math.max(found.completed, Math.min(given.completed, total - found.failed));
  const failed = Math.max(found.failed, Math.min(given.failed, total - completed));
  if (completed === found.completed && failed === found.failed) return batch;
  return { ...batch, request_counts: { total, completed, failed } };
}

/** The record with its counts raised to those given; null where that changes nothing, or the batch has ended. */
export function withCounts(record: BatchRecord, given: Pick<RequestCounts, 'completed' | 'failed'>): BatchRecord | null {
  const batch = raiseCounts(record.batch, given);
  return isTerminal(batch.status) || batch === record.batch ? null : { ...record, batch };
}

/** Whether the batch ever reached `in_progress`; one that did not ends without files. */
export function started(batch: Batch): boolean {
  return batch.in_progress_at !== null;
}
