import { ApiError, retryAfter } from './api-error.ts';

/** 429: more at a time than a tenant may; `limit` says what is allowed, such as `60 requests per minute`. */
export function rateLimited(limit: string, retryAfterSeconds: number): ApiError {
  return new ApiError({
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    message: `Rate limit reached: ${limit}. Try again later.`,
    headers: retryAfter(retryAfterSeconds),
  });
}

/** 429: too many batches of this tenant have not ended. One may end any moment. */
export function tooManyOpenBatches(max: number): ApiError {
  return rateLimited(`${max} batches that have not ended`, 60);
}

/** 429: a file that would take a tenant over what it may store. No repeat can help, and the SDKs are told so. */
export function storageFull(maxBytes: number): ApiError {
  return new ApiError({
    status: 429,
    type: 'insufficient_quota',
    code: 'storage_quota_exceeded',
    message: `This file would exceed the ${maxBytes} bytes you may store. Delete files, or wait until some expire.`,
    headers: { ...retryAfter(60), 'x-should-retry': 'false' },
  });
}

/** 503: something we need cannot be reached; `what` is named without article, such as `object store`. */
export function unavailable(what: string, retryAfterSeconds: number): ApiError {
  return new ApiError({
    status: 503,
    type: 'server_error',
    code: 'service_unavailable',
    message: `The ${what} cannot be reached at the moment. Try again later.`,
    headers: retryAfter(retryAfterSeconds),
  });
}

/** 503: as many answers as this process can hold are being sent. */
export function tooBusy(retryAfterSeconds: number): ApiError {
  return new ApiError({
    status: 503,
    type: 'server_error',
    code: 'service_unavailable',
    message: 'This server is sending as many answers as it can. Try again later.',
    headers: retryAfter(retryAfterSeconds),
  });
}

/** 503: the bucket can be reached and has no room. Only its operator can change that, so that it is told apart. */
export function outOfSpace(): ApiError {
  return new ApiError({
    status: 503,
    type: 'server_error',
    code: 'storage_full',
    message: 'The storage of this service is full, and nothing was stored. Try again once its operator has made room.',
    headers: retryAfter(60),
  });
}
