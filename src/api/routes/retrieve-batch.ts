import { integerAboveMax, invalidType } from '../errors/parameter-errors.ts';
import { type Batch, type BatchRecord, isTerminal } from '../../domain/batch.ts';
import { cutText } from '../../domain/shown-text.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import { batchOf } from '../batch-of.ts';
import type { WaitDeps } from '../batch-watch.ts';
import { clientGone, holdSlot, type Route, type RouteContext, sendJson } from '../context.ts';

/** Proxies give up an answer that takes longer. */
const MAX_WAIT_SECONDS = 60;

/**
 * `GET /v1/batches/{id}`: the status from the record, the counts of a running batch as its workflow knows them. With `wait=SECONDS` the
 * answer comes at the next change, at the end of the batch or after so many seconds.
 */
export function retrieveBatch({ batches, watch, waits, draining }: WaitDeps & { batches: Pick<BatchStore, 'retriesOf'> }): Route {
  return async (ctx) => {
    const seconds = readWait(ctx);
    const record = await batchOf(ctx, batches);
    const isWaiting = seconds > 0 && !isTerminal(record.batch.status);
    sendJson(ctx, await withRetries(record, isWaiting ? await nextChange(ctx, record, seconds) : await watch.now(record)));
  };

  /** Only a batch that has ended with an error file can be run again. */
  async function withRetries({ tenant }: BatchRecord, batch: Batch): Promise<Batch> {
    const retriedBy = isTerminal(batch.status) && batch.error_file_id !== null ? await batches.retriesOf(tenant, batch.id) : [];
    return retriedBy.length === 0 ? batch : { ...batch, nightshift: { ...batch.nightshift, retried_by: retriedBy } };
  }

  async function nextChange(ctx: RouteContext, record: BatchRecord, seconds: number): Promise<Batch> {
    const gone = clientGone(ctx);
    await holdSlot(ctx, waits, gone);
    const until = AbortSignal.any([gone, draining, AbortSignal.timeout(seconds * 1000)]);
    let latest = record.batch;
    let seen = 0;
    for await (const batch of watch.changes(record, until)) {
      latest = batch;
      seen += 1;
      if (seen === 2) break;
    }
    return latest;
  }
}

function readWait(ctx: RouteContext): number {
  const given = new URLSearchParams(ctx.querystring).get('wait');
  if (given === null) return 0;
  if (!/^\d+$/.test(given)) throw invalidType('wait', 'an integer', 'a string');
  if (Number(given) > MAX_WAIT_SECONDS) throw integerAboveMax('wait', MAX_WAIT_SECONDS, cutText(given, 80));
  return Number(given);
}
