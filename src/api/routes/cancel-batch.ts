import type { BatchRecord } from '../../domain/batch.ts';
import { batchNotFound, cannotCancel } from '../errors/batch-errors.ts';
import { isBatchId } from '../../domain/ids.ts';
import { canCancel, transition } from '../../domain/lifecycle.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import type { BatchRuns } from '../../temporal/batch-runs.ts';
import { type Logger, pathParam, type Route, sendJson, tenantOf } from '../context.ts';
import { createCancelSignals } from '../cancel-signals.ts';
import { tellTemporal } from '../tell-temporal.ts';

interface Deps {
  batches: BatchStore;
  runs: BatchRuns;
  nowMs: () => number;
  monotonicMs: () => number;
  logger: Logger;
}

/** `POST /v1/batches/{id}/cancel`: the record decides, the signal only wakes the workflow; whatever body comes is ignored. */
export function cancelBatch({ batches, runs, nowMs, monotonicMs, logger }: Deps): Route {
  const signals = createCancelSignals(monotonicMs);

  return async (ctx) => {
    const id = pathParam(ctx, 'id');
    const { record, isFirst } = await cancel(tenantOf(ctx), id);
    if (record === null) throw batchNotFound(id);
    const { batch } = record;
    if (canCancel(batch.status) === 'refused') throw cannotCancel(batch.status);
    const cancellingMs = nowMs() - (batch.cancelling_at ?? 0) * 1000;
    if (batch.status === 'cancelling' && signals.mayTell(id, { isFirst, cancellingMs })) {
      await tellTemporal(runs.cancel(id), { logger, what: 'cancel', batchId: id });
    }
    sendJson(ctx, batch);
  };

  /** The record as it now stands, and whether this call has moved it. */
  async function cancel(tenant: string, id: string): Promise<{ record: BatchRecord | null; isFirst: boolean }> {
    let isFirst = false;
    if (!isBatchId(id)) return { record: null, isFirst };
    const record = await batches.update(tenant, id, (found) => {
      const next = begin(found);
      // The last call counts: after it was written, or it wrote nothing.
      isFirst = next !== null;
      return next;
    });
    return { record, isFirst };
  }

  function begin(found: BatchRecord): BatchRecord | null {
    if (canCancel(found.batch.status) !== 'cancel') return null;
    const batch = transition(found.batch, 'cancelling', Math.floor(nowMs() / 1000));
    return batch === null ? null : { ...found, batch };
  }
}
