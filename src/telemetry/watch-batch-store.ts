import { type Batch, type BatchRecord, isTerminal } from '../domain/batch.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { Metrics } from './metrics.ts';

interface Watch {
  metrics: Pick<Metrics, 'batchMoved' | 'batchEnded'>;
  /** Unix time. */
  nowMs: () => number;
  logger: { info(fields: object, message: string): void };
}

/** The same batches, with every transition counted and logged by the process that wrote it. */
export function watchBatchStore(store: BatchStore, { metrics, nowMs, logger }: Watch): BatchStore {
  function moved({ batch, tenant }: BatchRecord, from: Batch['status'] | null): void {
    const { status } = batch;
    metrics.batchMoved(status);
    if (isTerminal(status)) metrics.batchEnded(status, Math.max(0, nowMs() / 1000 - batch.created_at));
    logger.info({ batch: batch.id, tenant, from, status }, 'batch moved');
  }

  return {
    ...store,

    async create(record) {
      await store.create(record);
      moved(record, null);
    },

    async update(tenant, id, change) {
      let from: Batch['status'] | null = null;
      const record = await store.update(tenant, id, (found) => {
        const next = change(found);
        // The last call counts: after it was written, or it wrote nothing.
        from = next !== null && next.batch.status !== found.batch.status ? found.batch.status : null;
        return next;
      });
      if (record !== null && from !== null) moved(record, from);
      return record;
    },
  };
}
