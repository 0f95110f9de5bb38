import { batchNotFound } from '../../domain/errors.ts';
import { isBatchId } from '../../domain/ids.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import { pathParam, type Route, sendJson, tenantOf } from '../context.ts';
import type { LiveCounts } from '../live-counts.ts';

/** `GET /v1/batches/{id}`: the status from the record, the counts of a running batch as its workflow knows them. */
export function retrieveBatch({ batches, liveCounts }: { batches: BatchStore; liveCounts: LiveCounts }): Route {
  return async (ctx) => {
    const id = pathParam(ctx, 'id');
    const record = isBatchId(id) ? await batches.get(tenantOf(ctx), id) : null;
    if (record === null) throw batchNotFound(id);
    sendJson(ctx, await liveCounts.show(record));
  };
}
