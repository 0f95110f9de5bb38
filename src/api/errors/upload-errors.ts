import { ApiError, truncate } from './api-error.ts';
import type { UploadStatus } from '../../domain/upload.ts';

/** 404: no such upload of this tenant. */
export function uploadNotFound(id: string): ApiError {
  return new ApiError({ status: 404, message: `No upload found with id '${truncate(id)}'.` });
}

/** 409: an upload that is no longer pending. `what` says what was asked for, such as `complete`. No repeat can help, and the SDKs are told so. */
export function uploadNotPending(what: string, status: UploadStatus): ApiError {
  return new ApiError({
    status: 409,
    message: `Cannot ${what} an upload with status '${status}'.`,
    headers: { 'x-should-retry': 'false' },
  });
}

/** 413: a part over what one part may have. */
export function uploadPartTooLarge(maxBytes: number): ApiError {
  return new ApiError({
    status: 413,
    param: 'data',
    code: 'file_too_large',
    message: `The part is larger than the ${maxBytes} bytes that one part may have.`,
  });
}

/** 400: an upload takes no further part, for its bytes or its number of parts. */
export function uploadFull(maxBytes: number, maxParts: number): ApiError {
  const message = `The upload cannot take this part: an upload may have ${maxBytes} bytes and ${maxParts} parts at most.`;
  return new ApiError({ status: 400, param: 'data', code: 'file_too_large', message });
}

/** 400: a list of parts that the upload cannot be made of; `why` is a sentence. */
export function invalidUploadParts(why: string): ApiError {
  return new ApiError({ status: 400, param: 'part_ids', code: 'invalid_value', message: `Invalid 'part_ids': ${why}` });
}

/** 400: the bytes that came are not those the client means. */
export function md5Mismatch(got: string, expected: string): ApiError {
  return new ApiError({
    status: 400,
    param: 'md5',
    code: 'invalid_value',
    message: `Invalid 'md5': the parts in this order have the MD5 checksum '${got}', but '${truncate(expected)}' was given.`,
  });
}
