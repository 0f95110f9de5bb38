import { isJsonRecord } from './json-type.ts';

/** An error that the body of an answer carries. */
export interface AnswerError {
  /** The status that it stands for; null when it names none. */
  status: number | null;
  /** The server's own words; null when it has none. */
  message: string | null;
  /** `code` or `type` of the error, in lower case; null when it names neither. */
  code: string | null;
}

/** Members in which servers put what was asked for. */
const RESULT_MEMBERS = [
  'choices',
  'data',
  'output',
  'results',
  'embedding',
  'embeddings',
  'scores',
  'score',
  'tokens',
  'prompt',
  'response',
  'text',
] as const;

/** The member without which an answer of the endpoint says nothing (OpenAI API reference). */
const REQUIRED_MEMBER: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'choices',
  '/v1/completions': 'choices',
  '/v1/embeddings': 'data',
  '/v1/moderations': 'results',
  '/v1/responses': 'output',
};

/** Status of a response object that holds no answer (OpenAI API reference, "The response object"). */
const UNFINISHED: ReadonlySet<unknown> = new Set(['failed', 'cancelled', 'queued', 'in_progress']);

const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  rate_limit_exceeded: 429,
  rate_limit_error: 429,
  overloaded: 529,
  overloaded_error: 529,
  insufficient_quota: 429,
  invalid_api_key: 401,
  authentication_error: 401,
  permission_error: 403,
  model_not_found: 404,
  invalid_request_error: 400,
  invalid_prompt: 400,
  context_length_exceeded: 400,
};

/**
 * The error that a 2xx answer to `endpoint` carries instead of what was asked for; null when it is a success. `"error": null` beside a
 * result is one.
 */
export function errorOfSuccess(value: Record<string, unknown>, endpoint: string): AnswerError | null {
  const hasResult = RESULT_MEMBERS.some((member) => (value[member] ?? null) !== null);
  const hasError = isError(value['error']) || value['object'] === 'error';
  if (hasError && (!hasResult || UNFINISHED.has(value['status']))) return errorOf(value);
  if (endpoint === '/v1/responses' && UNFINISHED.has(value['status'])) {
    return { status: null, message: `the response has the status "${String(value['status'])}"`, code: null };
  }
  const failedChoice = failedChoiceOf(value['choices']);
  if (failedChoice !== null) return errorOf(failedChoice);
  const required = REQUIRED_MEMBER[endpoint];
  if (required === undefined || hasResult) return null;
  // Other members may be an answer in a dialect that we do not know.
  const saysNothing = Object.keys(value).length === 0 || value[required] === null || 'detail' in value;
  if (!saysNothing) return null;
  const found = errorOf(value);
  return { ...found, message: found.message ?? `the answer has no ${required}` };
}

/** The error that the body of an answer carries, in the forms of OpenAI, vLLM, SGLang, Ollama, FastAPI and others. */
export function errorOf(value: unknown): AnswerError {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  const body = isJsonRecord(first) ? first : {};
  const { error } = body;
  const record = isJsonRecord(error) ? error : body;
  const code = firstText(record['code'], record['type']);
  return {
    status: statusOf(record['code']) ?? statusOf(record['status']) ?? STATUS_OF_CODE[code ?? ''] ?? null,
    message: firstText(record['message'], error, body['message'], body['detail'], record['detail']),
    code: code?.toLowerCase() ?? null,
  };
}

/** Whether it is an error object as OpenAI's API answers it. */
export function isErrorObject(value: unknown): boolean {
  return isJsonRecord(value) && isJsonRecord(value['error']) && typeof value['error']['message'] === 'string';
}

function isError(error: unknown): boolean {
  return error !== undefined && error !== null && error !== false && error !== '';
}

/** A choice that ended in an error, where all of them did. */
function failedChoiceOf(choices: unknown): Record<string, unknown> | null {
  if (!Array.isArray(choices) || choices.length === 0) return null;
  const failed = choices.filter((choice) => isJsonRecord(choice) && (choice['finish_reason'] === 'error' || isError(choice['error'])));
  const first: unknown = failed[0];
  return failed.length === choices.length && isJsonRecord(first) ? first : null;
}

function statusOf(code: unknown): number | null {
  const status = typeof code === 'string' && /^\d{3}$/.test(code) ? Number(code) : code;
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status < 600 ? status : null;
}

function firstText(...values: unknown[]): string | null {
  for (const value of values) if (typeof value === 'string' && value.trim() !== '') return value;
  const [first] = values;
  return isJsonRecord(first) ? JSON.stringify(first) : null;
}
