import { unknownCursor } from '../errors/parameter-errors.ts';
import { isBatchId } from '../../domain/ids.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import { clientGone, holdSlot, type Route, tenantOf } from '../context.ts';
import type { Slots } from '../slots.ts';
import { readBatchFilter } from '../batch-filters.ts';
import { readPageQuery, sendPage } from '../pagination.ts';

const BOUNDS = { defaultLimit: 20, maxLimit: 100 };

/** `GET /v1/batches`: one page of records, newest first. */
export function listBatches({ batches, lists }: { batches: BatchStore; lists: Slots }): Route {
  return async (ctx) => {
    const query = new URLSearchParams(ctx.querystring);
    const { limit, after } = readPageQuery(query, BOUNDS);
    const filter = readBatchFilter(query);
    if (after !== null && !isBatchId(after)) throw unknownCursor(after);
    const signal = clientGone(ctx);
    await holdSlot(ctx, lists, signal);
    const page = await batches.list(tenantOf(ctx), { limit, after, filter, signal });
    if (page === 'unknown_cursor') throw unknownCursor(after ?? '');
    const data = page.data.map((record) => record.batch);
    sendPage(ctx, data, page.hasMore);
  };
}
