import type { BatchRecord } from './batch.ts';
import { windowEndMs } from './pause.ts';

/**
 * When the end of a batch should have begun, as Unix milliseconds: the end of its window, the end of the grace after a cancel, or the
 * moment in which all its lines had their result, whichever came first. Infinite while its window stands still. Only for a batch that has
 * not ended.
 */
export function dueMs(record: BatchRecord, cancelGraceMs: number): number {
  const { cancelling_at, finalizing_at } = record.batch;
  const cancelledMs = cancelling_at === null ? Infinity : cancelling_at * 1000 + cancelGraceMs;
  const finalizingMs = finalizing_at === null ? Infinity : finalizing_at * 1000;
  return Math.min(windowEndMs(record) ?? Infinity, cancelledMs, finalizingMs);
}
