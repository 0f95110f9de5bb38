import type { BatchRecord } from '../domain/batch.ts';
import { batchNotFound } from './errors/batch-errors.ts';
import { isBatchId } from '../domain/ids.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { BatchRuns } from '../temporal/batch-runs.ts';
import { type Logger, pathParam, type RouteContext, tenantOf } from './context.ts';
import { tellTemporal } from './tell-temporal.ts';

export interface SteerDeps {
  batches: Pick<BatchStore, 'update'>;
  runs: Pick<BatchRuns, 'tellChanged'>;
  nowMs: () => number;
  logger: Logger;
}

/**
 * Changes the record of the batch that the path names, and tells its workflow where this call changed something. Answers the record as it
 * then stands. Throws the 404. The sweep repeats a signal that was lost.
 */
export async function steerBatch(
  ctx: RouteContext,
  { batches, runs, logger }: SteerDeps,
  change: (found: BatchRecord) => BatchRecord | null,
): Promise<BatchRecord> {
  const id = pathParam(ctx, 'id');
  let hasChanged = false;
  const record = !isBatchId(id)
    ? null
    : await batches.update(tenantOf(ctx), id, (found) => {
        const next = change(found);
        // The last call counts: after it was written, or it wrote nothing.
        hasChanged = next !== null;
        return next;
      });
  if (record === null) throw batchNotFound(id);
  if (hasChanged) await tellTemporal(runs.tellChanged(id), { logger, what: 'read the changed record', batchId: id });
  return record;
}
