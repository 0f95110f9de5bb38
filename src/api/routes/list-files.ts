import { unknownCursor } from '../errors/parameter-errors.ts';
import { isFileId } from '../../domain/ids.ts';
import type { FileStore } from '../../storage/file-store.ts';
import { clientGone, holdSlot, type Route, tenantOf } from '../context.ts';
import type { Slots } from '../slots.ts';
import { readOrder, readPageQuery, sendPage } from '../pagination.ts';

const BOUNDS = { defaultLimit: 10_000, maxLimit: 10_000 };

/** `GET /v1/files`: one page, newest first unless `order` says otherwise; a deleted id goes on working as a cursor. */
export function listFiles({ files, lists }: { files: FileStore; lists: Slots }): Route {
  return async (ctx) => {
    const query = new URLSearchParams(ctx.querystring);
    const { limit, after } = readPageQuery(query, BOUNDS);
    const order = readOrder(query);
    if (after !== null && !isFileId(after)) throw unknownCursor(after);
    const signal = clientGone(ctx);
    await holdSlot(ctx, lists, signal);
    const page = await files.list(tenantOf(ctx), { limit, after, order, purpose: query.get('purpose') || null, signal });
    if (page === 'unknown_cursor') throw unknownCursor(after ?? '');
    sendPage(ctx, page.data, page.hasMore);
  };
}
