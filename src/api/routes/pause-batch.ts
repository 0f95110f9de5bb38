import { cannotPause } from '../errors/batch-errors.ts';
import { pausedAt, pauseRecord, whyNotPause } from '../../domain/pause.ts';
import { type Route, sendJson } from '../context.ts';
import { type SteerDeps, steerBatch } from '../steer-batch.ts';

/**
 * `POST /v1/batches/{id}/pause`: the batch starts no new request; those in flight finish. A batch that is paused already is answered as it
 * is. Throws the 409 where there is nothing to hold back any more.
 */
export function pauseBatch(deps: SteerDeps & { pauseStopsWindow: boolean }): Route {
  return async (ctx) => {
    const nowSeconds = Math.floor(deps.nowMs() / 1000);
    const record = await steerBatch(ctx, deps, (found) => pauseRecord(found, { nowSeconds, stopsWindow: deps.pauseStopsWindow }));
    const why = pausedAt(record.batch) === null ? whyNotPause(record, nowSeconds) : null;
    if (why !== null) throw cannotPause(record.batch.status, why);
    sendJson(ctx, record.batch);
  };
}
