import { isHeld } from '../../src/domain/pause.ts';
import type { BatchRef } from '../../workflows/contract.ts';
import type { ActivityDeps } from '../deps.ts';

/** Whether a batch is paused, as its record says. All slices of a batch share a read. */
export type PausedBatches = (batch: BatchRef) => Promise<boolean>;

/** A cancel reaches all slices of a batch within seconds. */
const MAX_AGE_MS = 2_000;
const REMEMBERED = 1_000;

/** Answers false where the bucket does not tell: then the slice ends as one that was cancelled. */
export function createPausedBatches({
  batches,
  nowMs,
  monotonicMs,
}: Pick<ActivityDeps, 'batches' | 'nowMs' | 'monotonicMs'>): PausedBatches {
  const reads = new Map<string, { atMs: number; isPaused: Promise<boolean> }>();

  async function read({ tenant, batchId }: BatchRef): Promise<boolean> {
    const record = await batches.get(tenant, batchId).catch(() => null);
    return record !== null && isHeld(record, nowMs());
  }

  return async (batch) => {
    const found = reads.get(batch.batchId);
    if (found !== undefined && monotonicMs() - found.atMs < MAX_AGE_MS) return await found.isPaused;
    const begun = { atMs: monotonicMs(), isPaused: read(batch) };
    reads.delete(batch.batchId);
    reads.set(batch.batchId, begun);
    const [oldest] = reads.keys();
    if (reads.size > REMEMBERED && oldest !== undefined) reads.delete(oldest);
    return await begun.isPaused;
  };
}
