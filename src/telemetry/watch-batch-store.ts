import { type Batch, type BatchRecord, isTerminal } from '../domain/batch.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { Metrics, OpenStatus } from './metrics.ts';

interface Watch {
  metrics: Pick<Metrics, 'batchMoved' | 'batchEnded' | 'batchesFoundOpen'>;
  /** Unix time. */
  nowMs: () => number;
  logger: { info(fields: object, message: string): void };
}

/**
 * The same batches, every transition counted and logged by the process that wrote it, and what is open measured whenever
 * somebody (the sweep) lists it.
 */
export function watchBatchStore(store: BatchStore, { metrics, nowMs, logger }: Watch): BatchStore {
  /** Statuses by id while open batches are listed: the sweep reads the records, nothing is read for the metrics' sake. */
  let statuses: Map<string, OpenStatus> | null = null;

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

    async get(tenant, id) {
      const record = await store.get(tenant, id);
      if (record !== null && statuses?.has(id) === true) statuses.set(id, record.batch.status);
      return record;
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

    async *listOpen() {
      const found = new Map<string, OpenStatus>();
      statuses = found;
      let oldestMs = nowMs();
      for await (const marker of store.listOpen()) {
        found.set(marker.id, 'new');
        oldestMs = Math.min(oldestMs, marker.since.getTime());
        yield marker;
        // Ended, and only its marker was left.
        const status = found.get(marker.id);
        if (status !== undefined && status !== 'new' && isTerminal(status)) found.delete(marker.id);
      }
      statuses = null;
      const byStatus = new Map<OpenStatus, number>();
      for (const status of found.values()) byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
      metrics.batchesFoundOpen({ byStatus, oldestAgeSeconds: (nowMs() - oldestMs) / 1000 });
    },
  };
}
