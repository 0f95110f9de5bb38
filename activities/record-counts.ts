import { isTerminal } from '../src/domain/batch.ts';
import { withCounts } from '../src/domain/lifecycle.ts';
import type { BatchRef } from '../workflows/contract.ts';
import type { ActivityDeps } from './deps.ts';

/** Temporal learns of a result within this time: a slice that returns tells it at once, one that runs every three seconds. */
const SETTLE_MS = 3_000;
/** Between two saves for one batch. With `SETTLE_MS` and the reports of slices this keeps lists younger than 30 s. */
const EVERY_MS = 15_000;
/** So many batches are saved at a time, however many have new results, because each costs queries to Temporal and calls to the bucket. */
const AT_A_TIME = 2;
/** Batches whose last save is remembered. Forgetting one costs a save that comes early. */
const MAX_REMEMBERED = 10_000;

/** Keeps the counts in the records of batches that run here young, because lists read records only. */
export interface RecordCounts {
  /** A slice of this batch has started, returned, or reported results. */
  changed(batch: BatchRef): void;
}

/** Saves counts only for batches that change, each at most every 15 s. Several workers may save the same batch: counts only grow. */
export function createRecordCounts(
  { batches, runs, monotonicMs, draining, logger }: Pick<ActivityDeps, 'batches' | 'runs' | 'monotonicMs' | 'draining' | 'logger'>,
  { settleMs, everyMs } = { settleMs: SETTLE_MS, everyMs: EVERY_MS },
): RecordCounts {
  const savedMs = new Map<string, number>();
  const scheduled = new Set<string>();
  const due: BatchRef[] = [];
  let lanes = 0;

  async function save({ tenant, batchId }: BatchRef): Promise<void> {
    try {
      const record = await batches.get(tenant, batchId);
      if (record === null || isTerminal(record.batch.status)) return;
      const progress = await runs.progress(batchId);
      if (progress !== null) await batches.update(tenant, batchId, (found) => withCounts(found, progress));
    } catch (err) {
      logger.debug({ batch: batchId, err }, 'counts could not be saved; the next results save them');
    }
  }

  function remember(batchId: string): void {
    savedMs.delete(batchId);
    savedMs.set(batchId, monotonicMs());
    // A Map keeps its order, so the first key is the one saved longest ago.
    for (const [oldest, atMs] of savedMs) {
      if (savedMs.size <= MAX_REMEMBERED && monotonicMs() - atMs < everyMs) break;
      savedMs.delete(oldest);
    }
  }

  async function saveDue(): Promise<void> {
    if (lanes >= AT_A_TIME) return;
    lanes += 1;
    for (let next = due.shift(); next !== undefined && !draining.aborted; next = due.shift()) {
      // Before the save, so that results that come meanwhile are saved by another one.
      scheduled.delete(next.batchId);
      remember(next.batchId);
      await save(next);
    }
    lanes -= 1;
  }

  return {
    changed({ tenant, batchId }) {
      if (scheduled.has(batchId)) return;
      scheduled.add(batchId);
      const sinceMs = monotonicMs() - (savedMs.get(batchId) ?? -Infinity);
      const timer = setTimeout(
        () => {
          due.push({ tenant, batchId });
          void saveDue();
        },
        Math.max(settleMs, everyMs - sinceMs),
      );
      timer.unref();
    },
  };
}
