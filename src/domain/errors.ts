import { cutText } from './shown-text.ts';

interface ApiErrorShape {
  status: number;
  message: string;
  type?: string;
  code?: string | null;
  param?: string | null;
  headers?: Record<string, string>;
}

/** The caller is wrong, or we cannot serve now: what the error middleware turns into the envelope. Made by the factories below. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
  /** Response headers that belong to the error, lower case. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(shape: ApiErrorShape) {
    super(shape.message);
    this.status = shape.status;
    this.type = shape.type ?? 'invalid_request_error';
    this.code = shape.code ?? null;
    this.param = shape.param ?? null;
    this.headers = shape.headers ?? {};
  }
}

/** The body of every error answer; all four keys are always present. */
export interface ErrorEnvelope {
  error: { message: string; type: string; param: string | null; code: string | null };
}

/** The body of the answer to an error. */
export function envelope(error: ApiError): ErrorEnvelope {
  return { error: { message: error.message, type: error.type, param: error.param, code: error.code } };
}

/** 401: no key, or one that nobody has. */
export function invalidApiKey(): ApiError {
  return new ApiError({
    status: 401,
    code: 'invalid_api_key',
    message: "Missing or incorrect API key. Send a valid key in the header 'Authorization: Bearer <key>'.",
  });
}

/** 404: no route for this path; `meant` is a path that exists. */
export function unknownRoute(method: string, path: string, meant: string | null = null): ApiError {
  const hint = meant === null ? '' : `. Did you mean ${truncate(meant)}?`;
  return new ApiError({ status: 404, message: `Invalid URL (${method} ${truncate(path)})${hint}` });
}

/** 400: the request line asks for nothing that is a path. */
export function badTarget(target: string): ApiError {
  return new ApiError({
    status: 400,
    message: `Invalid URL: the request line asks for '${truncate(target)}'. Expected a path such as '/v1/batches', percent-encoded and without '#'.`,
  });
}

/** 403: this name may be a web page's that was pointed at this machine. */
export function foreignHost(host: string): ApiError {
  return new ApiError({
    status: 403,
    code: 'host_not_allowed',
    message: `The header 'Host' is '${cutText(host, 80)}', but this API answers to localhost, 127.0.0.1 and [::1] only. Use one of these names, or add yours to NIGHTSHIFT_ALLOWED_HOSTS.`,
  });
}

/** 403: a web page of another origin sent this. */
export function foreignOrigin(origin: string): ApiError {
  return new ApiError({
    status: 403,
    code: 'origin_not_allowed',
    message: `The header 'Origin' is '${cutText(origin, 80)}', and pages of other origins may not use this API. If this page may, add its origin to NIGHTSHIFT_CORS_ORIGINS.`,
  });
}

/** 400: a body that is compressed. */
export function unsupportedEncoding(encoding: string): ApiError {
  return new ApiError({
    status: 400,
    message: `The content encoding is '${cutText(encoding, 80)}', but this API does not decompress bodies. Send the body uncompressed, without the header 'Content-Encoding'.`,
  });
}

/** 415: a body of a type that a web page can send without asking. */
export function unsupportedMediaType(type: string): ApiError {
  return new ApiError({
    status: 415,
    message: `The content type is '${cutText(type, 80)}', but this endpoint takes JSON. Send the header 'Content-Type: application/json'.`,
  });
}

/** 405: the path exists, but not for this method. */
export function methodNotAllowed(method: string, path: string): ApiError {
  return new ApiError({ status: 405, code: 'method_not_supported', message: `Not allowed to ${method} on ${truncate(path)}.` });
}

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

/** 413: a body over the hard cap of the server, whatever the purpose; `param` is null where the body has no file. */
export function bodyTooLarge(maxBytes: number, param: 'file' | null): ApiError {
  const message = `The request body is larger than the ${maxBytes} bytes this server accepts.`;
  return new ApiError({ status: 413, param, code: 'file_too_large', message });
}

/** 400: a value outside a closed set. */
export function invalidValue(param: string, value: string, supported: readonly string[]): ApiError {
  // Clients match on OpenAI's text for `endpoint`, which does not name the parameter; everywhere else it is named.
  const subject = param === 'endpoint' ? 'Invalid value' : `Invalid value for '${param}'`;
  const message = `${subject}: '${truncate(value)}'. Supported values are: ${listed(supported)}.`;
  return new ApiError({ status: 400, param, code: 'invalid_value', message });
}

/** 400: a priority that the operator does not allow this tenant. */
export function priorityNotAllowed(param: string, value: string, allowed: readonly string[]): ApiError {
  const advice = `Ask for one of them, or ask the operator for a better one (NIGHTSHIFT_TENANT_PRIORITIES, or best_priority in NIGHTSHIFT_TENANTS_FILE).`;
  const message = `Invalid value for '${param}': '${value}'. The priorities that you may ask for are: ${listed(allowed)}. ${advice}`;
  return new ApiError({ status: 400, param, code: 'invalid_value', message });
}

/** 400: a value of the wrong type. `expected` and `got` have their article: `a string`, `an array` (see `describeJsonType`). */
export function invalidType(param: string, expected: string, got: string): ApiError {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'invalid_type', message });
}

/** 400: an integer that is too small; as text where a number would not show its digits. */
export function integerBelowMin(param: string, min: number, got: number | string): ApiError {
  const message = `Invalid '${param}': integer below minimum value. Expected a value >= ${min}, but got ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'integer_below_min_value', message });
}

/** 400: an integer that is too large; as text where a number would not show its digits. */
export function integerAboveMax(param: string, max: number, got: number | string): ApiError {
  const message = `Invalid '${param}': integer above maximum value. Expected a value <= ${max}, but got ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'integer_above_max_value', message });
}

/** 400: a required parameter is absent. */
export function missingParameter(name: string): ApiError {
  const message = `Missing required parameter: '${name}'.`;
  return new ApiError({ status: 400, param: name, code: 'missing_required_parameter', message });
}

/** 400: a parameter that does not exist, which is most often one misspelt. */
export function unknownParameter(name: string): ApiError {
  const shownName = cutText(name, 80);
  return new ApiError({ status: 400, param: shownName, code: 'unknown_parameter', message: `Unknown parameter: '${shownName}'.` });
}

/** 400: metadata with more than 16 keys. */
export function metadataTooManyProperties(got: number): ApiError {
  return new ApiError({
    status: 400,
    param: 'metadata',
    code: 'object_above_max_properties',
    message: `Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with ${got} properties instead.`,
  });
}

/** 400: an empty string where an empty one can mean nothing. */
export function emptyString(param: string): ApiError {
  const message = `Invalid '${param}': empty string. Expected a string with minimum length 1, but got an empty string instead.`;
  return new ApiError({ status: 400, param, code: 'empty_string', message });
}

/** 400: a string of too many code points. */
export function stringAboveMaxLength(param: string, max: number, got: number): ApiError {
  const message = `Invalid '${truncate(param)}': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'string_above_max_length', message });
}

/** 400: a key of an object with too many code points; `param` is the object. */
export function propertyNameAboveMaxLength(param: string, max: number, got: number): ApiError {
  const message = `Invalid '${param}': property name too long. Expected property names with maximum length ${max}, but got one with length ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'property_name_above_max_length', message });
}

/** 404: a model that no upstream is known to serve. */
export function modelNotFound(model: string): ApiError {
  return new ApiError({
    status: 404,
    param: 'model',
    code: 'model_not_found',
    message: `The model '${truncate(model)}' does not exist or you do not have access to it. GET /v1/models lists those that do.`,
  });
}

/** 400: an array that must hold something. */
export function emptyArray(param: string): ApiError {
  const message = `Invalid '${param}': empty array. Expected an array with minimum length 1, but got an empty array instead.`;
  return new ApiError({ status: 400, param, code: 'empty_array', message });
}

/** 400: an array of too many items. */
export function arrayAboveMaxLength(param: string, max: number, got: number): ApiError {
  const message = `Invalid '${param}': array too long. Expected an array with maximum length ${max}, but got an array with length ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'array_above_max_length', message });
}

/** 409: an idempotency key used again with another body. */
export function idempotencyConflict(): ApiError {
  return new ApiError({
    status: 409,
    code: 'idempotency_key_reused',
    message: "The 'Idempotency-Key' of this request was used before with another request body. Use a new key for another batch.",
    headers: { 'x-should-retry': 'false' },
  });
}

/** 400: the input file is the caller's own but was not uploaded for batches. */
export function wrongPurpose(fileId: string, purpose: string): ApiError {
  const message = `Invalid 'input_file_id': file '${fileId}' has purpose '${purpose}', but a batch needs a file with purpose 'batch'.`;
  return new ApiError({ status: 400, param: 'input_file_id', message });
}

/** 400: `after` names nothing that this tenant ever had. */
export function unknownCursor(id: string): ApiError {
  return new ApiError({ status: 400, param: 'after', message: `Invalid 'after': no object found with id '${truncate(id)}'.` });
}

/** 400: the request body cannot be parsed. */
export function malformedJson(): ApiError {
  return new ApiError({ status: 400, message: 'The request body is not valid JSON.' });
}

/** 400: the request body is JSON but no object. */
export function bodyNotObject(): ApiError {
  return new ApiError({ status: 400, message: 'Invalid request body: expected a JSON object.' });
}

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

/** 429: an upload that would take a tenant over what it may store. No repeat can help, and the SDKs are told so. */
export function storageFull(maxBytes: number): ApiError {
  return new ApiError({
    status: 429,
    type: 'insufficient_quota',
    code: 'storage_quota_exceeded',
    message: `This upload would exceed the ${maxBytes} bytes you may store. Delete files, or wait until some expire.`,
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

/** 408: the body of a request stalled on its way. */
export function requestTimeout(): ApiError {
  return new ApiError({ status: 408, code: 'request_timeout', message: 'The request body did not arrive in time.' });
}

/** 500: our fault. The text is fixed; details are in the log under the request id. */
export function internal(): ApiError {
  return new ApiError({ status: 500, type: 'server_error', message: 'The server had an error while processing your request.' });
}

/** Both SDKs ignore or mistreat a Retry-After over a minute. */
function retryAfter(seconds: number): Record<string, string> {
  return { 'retry-after': String(Math.min(60, Math.max(1, Math.ceil(seconds)))) };
}

/** `'a'`, `'a' and 'b'`, `'a', 'b' and 'c'`. */
function listed(values: readonly string[]): string {
  const quoted = values.map((value) => `'${value}'`);
  const last = quoted.pop() ?? '';
  return quoted.length === 0 ? last : `${quoted.join(', ')} and ${last}`;
}

/** What a client sent, short enough for a message. */
export function truncate(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
