import type { Batch } from './batch.ts';

/**
 * When the end of a batch should have begun, as Unix milliseconds: the end of its window, the end of the grace after a cancel, or the
 * moment in which all its lines had their result, whichever came first. Only for a batch that has not ended.
 */
export function dueMs(batch: Pick<Batch, 'expires_at' | 'cancelling_at' | 'finalizing_at'>, cancelGraceMs: number): number {
  const cancelledMs = batch.cancelling_at === null ? Infinity : batch.cancelling_at * 1000 + cancelGraceMs;
  const finalizingMs = batch.finalizing_at === null ? Infinity : batch.finalizing_at * 1000;
  return Math.min(batch.expires_at * 1000, cancelledMs, finalizingMs);
}
