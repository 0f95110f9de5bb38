import { isTerminal } from '../../domain/batch.ts';
import { cannotResume } from '../errors/batch-errors.ts';
import { resumeRecord } from '../../domain/pause.ts';
import { type Route, sendJson } from '../context.ts';
import { type SteerDeps, steerBatch } from '../steer-batch.ts';

/** `POST /v1/batches/{id}/resume`: the batch goes on. One that is not paused is answered as it is. Throws the 409 for one that has ended. */
export function resumeBatch(deps: SteerDeps): Route {
  return async (ctx) => {
    const nowSeconds = Math.floor(deps.nowMs() / 1000);
    const { batch } = await steerBatch(ctx, deps, (found) => resumeRecord(found, nowSeconds));
    if (isTerminal(batch.status)) throw cannotResume(batch.status);
    sendJson(ctx, batch);
  };
}
