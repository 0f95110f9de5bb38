import { fileNotFound } from '../../domain/errors.ts';
import { isFileId } from '../../domain/ids.ts';
import type { FileStore } from '../../storage/file-store.ts';
import { pathParam, type Route, sendJson, tenantOf } from '../context.ts';

/** `DELETE /v1/files/{id}`: gone for its readers at once; a batch that reads it goes on. */
export function deleteFile({ files }: { files: FileStore }): Route {
  return async (ctx) => {
    const id = pathParam(ctx, 'id');
    const isDeleted = isFileId(id) && (await files.delete(tenantOf(ctx), id));
    if (!isDeleted) throw fileNotFound(id);
    sendJson(ctx, { id, object: 'file', deleted: true });
  };
}
