import type { BatchStatus } from '../../domain/batch.ts';
import { ApiError, truncate } from './api-error.ts';

/** 404: no such batch of this tenant. */
export function batchNotFound(id: string): ApiError {
  return new ApiError({ status: 404, message: `No batch found with id '${truncate(id)}'.` });
}

/** 409: a cancel that comes too late. No repeat can help, and the SDKs are told so. */
export function cannotCancel(status: BatchStatus): ApiError {
  return new ApiError({
    status: 409,
    message: `Cannot cancel a batch with status '${status}'.`,
    headers: { 'x-should-retry': 'false' },
  });
}

/** 409: a batch that still runs. */
export function cannotDelete(status: BatchStatus): ApiError {
  return new ApiError({
    status: 409,
    message: `Cannot delete a batch with status '${status}': it has not ended. Cancel it first, and delete it when its status is 'cancelled'.`,
    headers: { 'x-should-retry': 'false' },
  });
}

/** 409: a batch that has nothing to run again; `why` says it. */
export function cannotRetry(id: string, why: string): ApiError {
  return new ApiError({
    status: 409,
    code: 'cannot_retry',
    message: `Cannot run lines of batch '${truncate(id)}' again: ${why}.`,
    headers: { 'x-should-retry': 'false' },
  });
}

/** 409: an idempotency key whose batch was deleted. */
export function batchWasDeleted(id: string): ApiError {
  return new ApiError({
    status: 409,
    code: 'batch_deleted',
    message: `This request was sent before, and the batch that it made, '${id}', has been deleted. Use another 'Idempotency-Key' to make a new batch.`,
    headers: { 'x-should-retry': 'false' },
  });
}
