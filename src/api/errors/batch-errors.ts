import type { BatchStatus } from '../../domain/batch.ts';
import { ApiError, truncate } from './api-error.ts';

/** 404: no such batch of this tenant. */
export function batchNotFound(id: string): ApiError {
  return new ApiError({ status: 404, message: `No batch found with id '${truncate(id)}'.` });
}

/** 400: an object of the tenant's bucket that cannot be the input of a batch. `why` says what to do. */
export function cannotReadInput(uri: string, why: string): ApiError {
  const message = `Invalid 'input_file_id': '${truncate(uri)}' cannot be read: ${why}.`;
  return new ApiError({ status: 400, param: 'input_file_id', code: 'invalid_value', message });
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

/** 404: results that were deleted or have expired. */
export function resultsGone(id: string): ApiError {
  return new ApiError({
    status: 404,
    code: 'results_gone',
    message: `The results of batch '${truncate(id)}' are gone: its result files were deleted or have expired. Create a new batch to get them again.`,
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

/** 409: a batch that has nothing to hold back; `why` says it. */
export function cannotPause(status: BatchStatus, why: 'status' | 'window'): ApiError {
  const reason =
    why === 'window'
      ? 'its completion window has ended, and its results are about to be published'
      : "only a batch with status 'validating' or 'in_progress' has requests that can be held back";
  return new ApiError({
    status: 409,
    code: 'cannot_pause',
    message: `Cannot pause a batch with status '${status}': ${reason}.`,
    headers: { 'x-should-retry': 'false' },
  });
}

/** 409: a batch that has ended. */
export function cannotResume(status: BatchStatus): ApiError {
  return new ApiError({
    status: 409,
    code: 'cannot_resume',
    message: `Cannot resume a batch with status '${status}': it has ended. To run its failed lines again, retry it.`,
    headers: { 'x-should-retry': 'false' },
  });
}

/** 400: more than a process of the API reads for an estimate. */
export function tooLargeToEstimate(id: string, bytes: number, most: number): ApiError {
  return new ApiError({
    status: 400,
    code: 'file_too_large',
    param: 'input_file_id',
    message: `The file '${truncate(id)}' has ${bytes} bytes, but estimates are made of files of up to ${most} bytes. Estimate a part of it, or check it on your machine: nightshift check FILE.`,
  });
}

/** 503: the bucket or this process is too slow for an estimate of this file. */
export function estimateTookTooLong(id: string, seconds: number, line: number): ApiError {
  return new ApiError({
    status: 503,
    type: 'server_error',
    code: 'estimate_timeout',
    message: `The estimate of file '${truncate(id)}' was stopped after ${seconds} seconds, at line ${line}. Estimate a part of it, or check it on your machine: nightshift check FILE.`,
    headers: { 'x-should-retry': 'false' },
  });
}
