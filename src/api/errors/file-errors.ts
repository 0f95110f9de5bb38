import { ApiError, truncate } from './api-error.ts';

/** 404: no such file of this tenant (unknown, deleted or expired). */
export function fileNotFound(id: string): ApiError {
  return new ApiError({ status: 404, param: 'id', message: `No such File object: ${truncate(id)}` });
}

/** 400: files of this purpose are not handed out again. */
export function notDownloadable(purpose: string): ApiError {
  return new ApiError({ status: 400, message: `Not allowed to download files of purpose: ${purpose}` });
}

/** 400: a file of purpose `batch` that is empty or whose first non-blank line is not JSON. `why` are sentences. */
export function notJsonl(why: string): ApiError {
  const message = `Invalid file format for Batch API. Must be .jsonl: one JSON object per line, and at least one line. ${why}`;
  return new ApiError({ status: 400, message });
}

/** 400: a file over the batch input cap. */
export function fileTooLarge(): ApiError {
  return new ApiError({ status: 400, code: 'file_too_large', message: 'File is too large.' });
}

/** 400: the input file is the caller's own but was not uploaded for batches. */
export function wrongPurpose(fileId: string, purpose: string): ApiError {
  const message = `Invalid 'input_file_id': file '${fileId}' has purpose '${purpose}', but a batch needs a file with purpose 'batch'.`;
  return new ApiError({ status: 400, param: 'input_file_id', message });
}
