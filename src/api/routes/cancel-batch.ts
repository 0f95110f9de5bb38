import type { BatchRecord } from '../../domain/batch.ts';
import { batchNotFound, cannotCancel } from '../../domain/errors.ts';
import { isBatchId } from '../../domain/ids.ts';
import { canCancel, transition } from '../../domain/lifecycle.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import type { BatchRuns } from '../../temporal/batch-runs.ts';
import { type Logger, pathParam, type Route, sendJson, tenantOf } from '../context.ts';
import { tellTemporal } from '../tell-temporal.ts';

interface Deps {
  batches: BatchStore;
  runs: BatchRuns;
  nowMs: () => number;
  logger: Logger;
}

/** `POST /v1/batches/{id}/cancel`: the record decides, the signal only wakes the workflow; whatever body comes is ignored. */
export function cancelBatch({ batches, runs, nowMs, logger }: Deps): Route {
  return async (ctx) => {
    const id = pathParam(ctx, 'id');
    const record = isBatchId(id) ? await batches.update(tenantOf(ctx), id, begin) : null;
    if (record === null) throw batchNotFound(id);
    const { batch } = record;
    if (canCancel(batch.status) === 'refused') throw cannotCancel(batch.status);
    if (batch.status === 'cancelling') await tellTemporal(runs.cancel(id), { logger, what: 'cancel', batchId: id });
    sendJson(ctx, batch);
  };

  function begin(found: BatchRecord): BatchRecord | null {
    if (canCancel(found.batch.status) !== 'cancel') return null;
    const batch = transition(found.batch, 'cancelling', Math.floor(nowMs() / 1000));
    return batch === null ? null : { ...found, batch };
  }
}
