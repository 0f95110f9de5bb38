import type { BatchRecord } from '../domain/batch.ts';
import { batchNotFound } from './errors/batch-errors.ts';
import { isBatchId } from '../domain/ids.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import { pathParam, type RouteContext, tenantOf } from './context.ts';

/** The record of the batch that the path names. Throws the 404. */
export async function batchOf(ctx: RouteContext, batches: Pick<BatchStore, 'get'>): Promise<BatchRecord> {
  const id = pathParam(ctx, 'id');
  const record = isBatchId(id) ? await batches.get(tenantOf(ctx), id) : null;
  if (record === null) throw batchNotFound(id);
  return record;
}
