import { fileNotFound } from '../errors/file-errors.ts';
import { isFileId } from '../../domain/ids.ts';
import type { FileStore } from '../../storage/file-store.ts';
import { pathParam, type Route, sendJson, tenantOf } from '../context.ts';

/** `GET /v1/files/{id}`. */
export function retrieveFile({ files }: { files: FileStore }): Route {
  return async (ctx) => {
    const id = pathParam(ctx, 'id');
    const file = isFileId(id) ? await files.get(tenantOf(ctx), id) : null;
    if (file === null) throw fileNotFound(id);
    sendJson(ctx, file);
  };
}
