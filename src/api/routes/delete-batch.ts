import { isTerminal } from '../../domain/batch.ts';
import { batchNotFound, cannotDelete } from '../errors/batch-errors.ts';
import { isBatchId } from '../../domain/ids.ts';
import type { BatchStore } from '../../storage/batch-store.ts';
import type { FileStore } from '../../storage/file-store.ts';
import type { UsageStore } from '../../storage/usage-store.ts';
import { readFlag } from '../read-flag.ts';
import { pathParam, type Route, type RouteContext, sendJson, tenantOf } from '../context.ts';

/**
 * `DELETE /v1/batches/{id}`: removes the record of a batch that has ended, and its result files where `delete_files=true` asks for it.
 * Throws the 409 for a batch that still runs.
 */
export function deleteBatch({
  batches,
  files,
  usage,
}: {
  batches: BatchStore;
  files: Pick<FileStore, 'delete'>;
  usage: Pick<UsageStore, 'add'>;
}): Route {
  return async (ctx) => {
    const [tenant, id] = [tenantOf(ctx), pathParam(ctx, 'id')];
    const withFiles = readFlag(new URLSearchParams(ctx.querystring), 'delete_files');
    const record = isBatchId(id) ? await batches.get(tenant, id) : null;
    if (record === null) {
      if (!(await wasDeletedByThisCall(ctx, tenant, id))) throw batchNotFound(id);
    } else {
      const { status, output_file_id, error_file_id } = record.batch;
      if (!isTerminal(status)) throw cannotDelete(status);
      // The worker that ended the batch adds its usage after the record, and may not have done so yet.
      await usage.add(record);
      // The files first, because only the record names them.
      for (const file of withFiles ? [output_file_id, error_file_id] : []) if (file !== null) await files.delete(tenant, file);
      await batches.delete(tenant, id);
    }
    sendJson(ctx, { id, object: 'batch', deleted: true });
  };

  /** A retry of the SDK asks for what its first try may have done before its answer was lost. */
  async function wasDeletedByThisCall(ctx: RouteContext, tenant: string, id: string): Promise<boolean> {
    return Number(ctx.get('x-stainless-retry-count')) > 0 && isBatchId(id) && (await batches.isDeleted(tenant, id));
  }
}
