import { type Standing, standingOf } from '../../src/domain/pause.ts';
import type { BatchRef } from '../../workflows/contract.ts';
import type { ActivityDeps } from '../deps.ts';

/** Whether a batch runs, is paused or ends, as its record says; null where the bucket does not tell. All slices of a batch share a read. */
export type BatchStandings = (batch: BatchRef) => Promise<Standing | null>;

/** A cancel reaches all slices of a batch within seconds. */
const MAX_AGE_MS = 2_000;
const REMEMBERED = 1_000;

export function createBatchStandings({
  batches,
  nowMs,
  monotonicMs,
}: Pick<ActivityDeps, 'batches' | 'nowMs' | 'monotonicMs'>): BatchStandings {
  const reads = new Map<string, { atMs: number; standing: Promise<Standing | null> }>();

  async function read({ tenant, batchId }: BatchRef): Promise<Standing | null> {
    return await batches.get(tenant, batchId).then(
      (record) => standingOf(record, nowMs()),
      () => null,
    );
  }

  return async (batch) => {
    const found = reads.get(batch.batchId);
    if (found !== undefined && monotonicMs() - found.atMs < MAX_AGE_MS) return await found.standing;
    const begun = { atMs: monotonicMs(), standing: read(batch) };
    reads.delete(batch.batchId);
    reads.set(batch.batchId, begun);
    const [oldest] = reads.keys();
    if (reads.size > REMEMBERED && oldest !== undefined) reads.delete(oldest);
    return await begun.standing;
  };
}
