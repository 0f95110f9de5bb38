import { ApiError, truncate } from './api-error.ts';
import { cutText } from '../../domain/shown-text.ts';

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

/** 413: a body over the hard cap of the server, whatever the purpose; `param` is null where the body has no file. */
export function bodyTooLarge(maxBytes: number, param: 'file' | null): ApiError {
  const message = `The request body is larger than the ${maxBytes} bytes this server accepts.`;
  return new ApiError({ status: 413, param, code: 'file_too_large', message });
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

/** 400: the request body cannot be parsed. */
export function malformedJson(): ApiError {
  return new ApiError({ status: 400, message: 'The request body is not valid JSON.' });
}

/** 400: the request body is JSON but no object. */
export function bodyNotObject(): ApiError {
  return new ApiError({ status: 400, message: 'Invalid request body: expected a JSON object.' });
}

/** 408: the body of a request stalled on its way. */
export function requestTimeout(): ApiError {
  return new ApiError({ status: 408, code: 'request_timeout', message: 'The request body did not arrive in time.' });
}
