import { unknownCursor } from '../../domain/errors.ts';
import { isBatchId } from '../../domain/ids.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import { type Route, sendJson, tenantOf } from '../context.ts';
import { listEnvelope, readPageQuery } from '../pagination.ts';

const BOUNDS = { defaultLimit: 20, maxLimit: 100 };

/** `GET /v1/batches`: one page of records, newest first. */
export function listBatches({ batches }: { batches: BatchStore }): Route {
  return async (ctx) => {
    const { limit, after } = readPageQuery(new URLSearchParams(ctx.querystring), BOUNDS);
    if (after !== null && !isBatchId(after)) throw unknownCursor(after);
    const page = await batches.list(tenantOf(ctx), { limit, after });
    if (page === 'unknown_cursor') throw unknownCursor(after ?? '');
    const data = page.data.map((record) => record.batch);
    sendJson(ctx, listEnvelope(data, page.hasMore));
  };
}
