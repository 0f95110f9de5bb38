import type { BatchError } from './batch.ts';
import { MAX_BATCH_ERRORS } from './limits.ts';

/** The faults of an input file (reference: Batch API, "Input validation"): codes, params and texts in one place. */

/** V1: unknown, deleted, expired or another tenant's. */
export function inputFileNotFound(fileId: string): BatchError {
  const message = `Cannot find file ${fileId}, or organization does not have access to it.`;
  return { code: 'invalid_request', message, param: 'file_id', line: null };
}

/** V2: no line holds a request. */
export function emptyFile(): BatchError {
  const message = 'The input file is empty. Please ensure that the batch contains at least one request.';
  return { code: 'empty_file', message, param: null, line: null };
}

/** V3: neither JSON nor UTF-8 will do. */
export function invalidJsonLine(line: number): BatchError {
  return { code: 'invalid_json_line', message: 'This line is not parseable as valid JSON.', param: null, line };
}

/** A line that is longer than the configured cap; it was not even read. */
export function lineTooLarge(line: number, maxBytes: number): BatchError {
  return { code: 'line_too_large', message: `This line is larger than the ${maxBytes} bytes maximum.`, param: null, line };
}

/** V4: JSON, but no object. `got` has its article. */
export function notAnObject(line: number, got: string): BatchError {
  return { code: 'invalid_request', message: `This line must be a JSON object, but it is ${got}.`, param: null, line };
}

/** V5: absent or null. */
export function missingRequired(line: number, param: string): BatchError {
  return { code: 'missing_required_parameter', message: `Missing required parameter: '${param}'.`, param, line };
}

/** V6: of the wrong type. `expected` and `got` have their article. */
export function wrongType(line: number, param: string, expected: string, got: string): BatchError {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`;
  return { code: 'invalid_type', message, param, line };
}

/** V7: empty or nothing but whitespace. */
export function blankCustomId(line: number): BatchError {
  return { code: 'invalid_request', message: "Invalid 'custom_id': it must not be empty or blank.", param: 'custom_id', line };
}

/** Longer than a custom_id may be; lengths are code points. */
export function customIdTooLong(line: number, max: number, got: number): BatchError {
  const message = `Invalid 'custom_id': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`;
  return { code: 'invalid_request', message, param: 'custom_id', line };
}

/** V8: an earlier line has it too. */
export function duplicateCustomId(line: number): BatchError {
  const message =
    'The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.';
  return { code: 'duplicate_custom_id', message, param: 'custom_id', line };
}

/** V9: anything but exactly `POST`. */
export function invalidMethod(line: number, method: string): BatchError {
  const message = `Invalid method: '${method.slice(0, 32)}'. The method of each request in a batch must be 'POST'.`;
  return { code: 'invalid_method', message, param: 'method', line };
}

/** V10: another endpoint than that of the batch. */
export function invalidUrl(line: number): BatchError {
  const message = 'The URL provided for this request does not match the batch endpoint.';
  return { code: 'invalid_url', message, param: 'url', line };
}

/** V11, V12: a body member without which the endpoint cannot work is absent or null. */
export function requiredInBody(line: number, member: string, title: string): BatchError {
  return { code: 'invalid_request', message: `${title} parameter is required.`, param: `body.${member}`, line };
}

/** V13: an event stream cannot become a result line. */
export function streamingUnsupported(line: number, endpointTitle: string): BatchError {
  const message = `${endpointTitle}: Streaming is not supported in the Batch API.`;
  return { code: 'streaming_unsupported', message, param: 'body.stream', line };
}

/** V14: no upstream serves the model. */
export function modelNotFound(model: string, line: number): BatchError {
  const message = `The provided model '${model.slice(0, 200)}' is not supported by the Batch API.`;
  return { code: 'model_not_found', message, param: 'body.model', line };
}

/** V15: the lines name models that no single upstream serves. */
export function mismatchedModel(): BatchError {
  const message = 'Each batch must contain requests for a single model';
  return { code: 'mismatched_model', message, param: null, line: null };
}

/** V16: more requests than a batch may have. */
export function tooManyTasks(maxRequests: number): BatchError {
  const message = `The batch input file contains more than the ${maxRequests} requests maximum.`;
  return { code: 'too_many_tasks', message, param: null, line: null };
}

/** V17: larger than an input file may be; `model` is the one its first line names, if it is known. */
export function inputFileTooLarge(maxBytes: number, model: string | null): BatchError {
  const suffix = model === null ? '' : ` for the ${model.slice(0, 200)} model`;
  const message = `The batch input file is larger than the ${maxBytes} maximum${suffix}`;
  return { code: 'file_too_large', message, param: null, line: null };
}

/** V18: more inputs, summed over all lines, than an embeddings batch may have. */
export function tooManyEmbeddingInputs(maxInputs: number): BatchError {
  const message = `The batch input file contains more than the ${maxInputs} embedding inputs maximum, summed over all requests.`;
  return { code: 'too_many_embedding_inputs', message, param: null, line: null };
}

/** So many blank lines stand between the requests that the plan would have more shards than a batch may have. */
export function inputTooSparse(maxShards: number): BatchError {
  const message = `The requests of the batch input file stand too far apart: they would be cut into more than ${maxShards} runs of lines. Please remove blank lines, or make several batches of it.`;
  return { code: 'input_too_sparse', message, param: null, line: null };
}

/** The entry after the last error that is reported. */
export function tooManyErrors(): BatchError {
  const message = `Validation stopped after ${MAX_BATCH_ERRORS} errors.`;
  return { code: 'too_many_errors', message, param: null, line: null };
}
