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

/** 500: our fault. The text is fixed; details are in the log under the request id. */
export function internal(): ApiError {
  return new ApiError({ status: 500, type: 'server_error', message: 'The server had an error while processing your request.' });
}

/** Both SDKs ignore or mistreat a Retry-After over a minute. */
export function retryAfter(seconds: number): Record<string, string> {
  return { 'retry-after': String(Math.min(60, Math.max(1, Math.ceil(seconds)))) };
}

/** `'a'`, `'a' and 'b'`, `'a', 'b' and 'c'`. */
export function listed(values: readonly string[]): string {
  const quoted = values.map((value) => `'${value}'`);
  const last = quoted.pop() ?? '';
  return quoted.length === 0 ? last : `${quoted.join(', ')} and ${last}`;
}

/** What a client sent, short enough for a message. */
export function truncate(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
