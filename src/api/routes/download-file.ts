import { ApiError } from '../errors/api-error.ts';
import { fileNotFound, notDownloadable } from '../errors/file-errors.ts';
import type { File } from '../../domain/file.ts';
import { isFileId } from '../../domain/ids.ts';
import type { FileStore } from '../../storage/file-store.ts';
import { readRange } from '../byte-range.ts';
import { contentDisposition } from '../filename.ts';
import { clientGone, holdSlot, pathParam, type Route, type RouteContext, tenantOf } from '../context.ts';
import type { Slots } from '../slots.ts';

/** `GET /v1/files/{id}/content`: streams the bytes, all or a range; a client that hangs up ends the read from the bucket. */
export function downloadFile({ files, downloads }: { files: FileStore; downloads: Slots }): Route {
  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const id = pathParam(ctx, 'id');
    const file = isFileId(id) ? await files.get(tenant, id) : null;
    if (file === null) throw fileNotFound(id);
    if (file.purpose === 'user_data') throw notDownloadable(file.purpose);

    // The content of an id never changes, so the id is its tag.
    const tag = `"${file.id}"`;
    ctx.set('ETag', tag);
    // A cache asks each time, because a file can be deleted.
    ctx.set('Cache-Control', 'private, no-cache');
    ctx.set('Last-Modified', new Date(file.created_at * 1000).toUTCString());
    if (isKnownToClient(ctx, tag, file)) {
      ctx.status = 304;
      return;
    }
    const range = isSameContent(ctx.get('if-range'), tag, file) ? readRange(ctx.get('range'), file.bytes) : 'all';
    if (range === 'unsatisfiable') throw rangeNotSatisfiable(file);
    if (ctx.method !== 'HEAD') await holdSlot(ctx, downloads, clientGone(ctx));
    const content = ctx.method === 'HEAD' ? null : await files.openContent(tenant, id, range === 'all' ? undefined : range);
    if (content === null && ctx.method !== 'HEAD') throw fileNotFound(id);

    ctx.status = range === 'all' ? 200 : 206;
    ctx.set('Content-Type', 'application/octet-stream');
    ctx.set('Accept-Ranges', 'bytes');
    ctx.set('Content-Disposition', contentDisposition(file.filename));
    if (range !== 'all') ctx.set('Content-Range', `bytes ${range.start}-${range.end}/${file.bytes}`);
    if (content !== null) ctx.body = content.body;
    // After the body, because setting a stream as body removes the length.
    ctx.length = range === 'all' ? file.bytes : range.end - range.start + 1;
  };
}

/** Whether a conditional request (RFC 9110, 13.2.2) says that the client has the content already. */
function isKnownToClient(ctx: RouteContext, tag: string, file: File): boolean {
  const tags = ctx.get('if-none-match');
  if (tags !== '') return tags.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === tag);
  return Date.parse(ctx.get('if-modified-since')) >= file.created_at * 1000;
}

/** Whether an `If-Range` names this content; without one the range is meant in any case. */
function isSameContent(ifRange: string, tag: string, file: File): boolean {
  return ifRange === '' || ifRange === tag || Date.parse(ifRange) === file.created_at * 1000;
}

function rangeNotSatisfiable({ bytes }: File): ApiError {
  return new ApiError({
    status: 416,
    message: `The requested range is not satisfiable: the content has ${bytes} bytes.`,
    headers: { 'content-range': `bytes */${bytes}` },
  });
}
