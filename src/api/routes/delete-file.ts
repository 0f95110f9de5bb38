import { fileNotFound } from '../errors/file-errors.ts';
import { isFileId } from '../../domain/ids.ts';
import type { FileStore } from '../../storage/file-store.ts';
import { pathParam, type Route, sendJson, tenantOf } from '../context.ts';

/** `DELETE /v1/files/{id}`: gone for its readers at once; a batch that reads it goes on. */
export function deleteFile({ files }: { files: FileStore }): Route {
  return async (ctx) => {
    const [tenant, id] = [tenantOf(ctx), pathParam(ctx, 'id')];
    const isDeleted = isFileId(id) && ((await files.delete(tenant, id)) || (await wasDeletedByThisCall(tenant, id)));
    if (!isDeleted) throw fileNotFound(id);
    sendJson(ctx, { id, object: 'file', deleted: true });

    /** A retry of the SDK asks for what its first try may have done before its answer was lost. */
    async function wasDeletedByThisCall(owner: string, file: string): Promise<boolean> {
      return Number(ctx.get('x-stainless-retry-count')) > 0 && (await files.isDeleted(owner, file));
    }
  };
}
