import { type AnswerError, errorOf, errorOfSuccess, isErrorObject } from '../../domain/answer-error.ts';
import { inspectAnswer } from '../../domain/answer.ts';
import type { Attempt, HttpAnswer, Sent } from '../../domain/attempt.ts';
import { decodeBody } from './decode-body.ts';
import type { Exchange } from './http-exchange.ts';
import { readRateBudgets } from './rate-headers.ts';
import type { Redaction } from './redact.ts';
import { requestIdOf } from './request-id.ts';
import { retryAfterMs } from './retry-after.ts';

/** What is needed to tell what an exchange means. */
export interface ReadOptions {
  endpoint: string;
  /** Unix time, for dates in headers. */
  nowMs: number;
  maxResponseBytes: number;
  redact: Redaction;
}

type Answered = Extract<Exchange, { kind: 'answered' }>;

/** Statuses that mean "not now". */
const REFUSED: ReadonlySet<number> = new Set([429, 503, 529]);
/** 4xx that a repeat may cure: a timeout of the server's, a conflict, a generation that failed (TGI), too early. */
const CURABLE_4XX: ReadonlySet<number> = new Set([408, 409, 424, 425]);
const DENIED: ReadonlySet<number> = new Set([401, 402, 403, 407]);
/** A gateway that gave up waiting for its server: a repeat takes as long. */
const GATEWAY_TIMEOUTS: ReadonlySet<number> = new Set([504, 524]);
/** Shorter waits of a gateway are those for a server that does not answer at all. */
const LONG_GATEWAY_WAIT_MS = 50_000;
/** Error codes with which servers deny access by other statuses. */
const DENIED_CODES: ReadonlySet<string | null> = new Set(['insufficient_quota', 'invalid_api_key', 'billing_hard_limit_reached']);
const SHOWN_WORDS = 300;
const SHOWN_BODY = 2_000;

/** Decides what an exchange means for its request. Sorts by status and body into the classes of `Attempt`. */
export async function readAttempt(exchange: Exchange, options: ReadOptions): Promise<Sent> {
  switch (exchange.kind) {
    case 'aborted':
      return unsent({ kind: 'aborted' });
    case 'not_connected':
      return unsent({ kind: 'away', message: exchange.message });
    case 'reset':
      return failed('connection_error', exchange.message, exchange.ms);
    case 'timeout':
      return failed('request_timeout', exchange.message, exchange.ms);
    case 'too_large':
      return tooLarge(exchange);
    case 'malformed':
      return failed('invalid_response', exchange.message, exchange.ms);
    case 'answered':
      return await readAnswer(exchange, options);
  }
}

function unsent(attempt: Attempt): Sent {
  return { attempt, ms: 0, budgets: null };
}

function failed(code: Extract<Attempt, { kind: 'failed' }>['code'], message: string, ms: number, isCurable = true): Sent {
  return { attempt: { kind: 'failed', code, answer: null, retryAfterMs: null, isCurable, message }, ms, budgets: null };
}

/** Nothing but a server that works sends so much. */
function tooLarge({ message, ms }: { message: string; ms: number }): Sent {
  const found = { answer: null, retryAfterMs: null, isCurable: false, isOwn: true };
  return { attempt: { kind: 'failed', code: 'invalid_response', ...found, message }, ms, budgets: null };
}

async function readAnswer(exchange: Answered, options: ReadOptions): Promise<Sent> {
  const { status, headers, ms } = exchange;
  const { redact, nowMs, maxResponseBytes } = options;
  const budgets = readRateBudgets(headers, nowMs);
  const decoded = await decodeBody(exchange.body, headers['content-encoding'], maxResponseBytes);
  if ('fault' in decoded) return failed('invalid_response', `the upstream's answer (status ${status}) ${decoded.fault}`, ms, false);
  const isSuccess = status >= 200 && status < 300;
  const answer: HttpAnswer = { status, body: redact(decoded.body, isSuccess), requestId: redactedId(headers, redact) };
  const attempt = isSuccess
    ? readSuccess(answer, single(headers['content-type']), options.endpoint, retryAfterMs(headers, nowMs))
    : readError(answer, exchange, options);
  return { attempt, ms, budgets };
}

function readSuccess(answer: HttpAnswer, contentType: string | null, endpoint: string, retryMs: number | null): Attempt {
  const { status, body } = answer;
  const { value, usage } = inspectAnswer(body);
  if (value === null) {
    const type = contentType === null ? 'no content type' : `content type ${contentType.slice(0, 80)}`;
    const what = body.length === 0 ? 'no body' : `${type} and a body that is no JSON object: ${shownBody(body)}`;
    const message = `the upstream answered with status ${status}, ${what}`;
    return { kind: 'failed', code: 'invalid_response', answer: null, retryAfterMs: retryMs, isCurable: false, message };
  }
  const error = errorOfSuccess(value, endpoint);
  return error === null ? { kind: 'answered', answer, usage } : classify(error.status ?? 0, error, answer, retryMs);
}

function readError(answer: HttpAnswer, { headers, ms }: Answered, { nowMs, redact }: ReadOptions): Attempt {
  const { status, body } = answer;
  const retryMs = retryAfterMs(headers, nowMs);
  if (status < 400) {
    const location = single(headers['location']);
    const target = location === null ? '' : ` to ${redact(Buffer.from(location), false).toString().slice(0, SHOWN_WORDS)}`;
    const message = `the upstream answered with a redirect (status ${status})${target}, which is not followed: set the base URL to where it leads`;
    return { kind: 'denied', answer: null, retryAfterMs: retryMs, message };
  }
  const { value } = inspectAnswer(body);
  const error = errorOf(value ?? jsonOf(body));
  const words = { ...error, message: error.message ?? (body.length === 0 ? null : body.toString()) };
  if (status === 404 && isErrorObject(value) && error.code !== 'model_not_found') return rejected(answer, words);
  const attempt = classify(status, words, answer, retryMs);
  // As the official SDKs do, a server's own word on repeats goes before the status.
  if (attempt.kind === 'rejected' && single(headers['x-should-retry']) === 'true') return failure(answer, words, retryMs, true);
  const isSlow = GATEWAY_TIMEOUTS.has(status) && ms >= LONG_GATEWAY_WAIT_MS;
  return attempt.kind === 'failed' && (isSlow || single(headers['x-should-retry']) === 'false')
    ? { ...attempt, isCurable: false }
    : attempt;
}

/** `status` is that of the answer or of the error in its body; 0 for an error without one. */
function classify(status: number, error: AnswerError, answer: HttpAnswer, retryMs: number | null): Attempt {
  if (DENIED.has(status) || status === 404 || DENIED_CODES.has(error.code)) {
    return { kind: 'denied', answer, retryAfterMs: retryMs, message: inWords(answer, error) };
  }
  if (REFUSED.has(status)) return { kind: 'refused', answer, retryAfterMs: retryMs, message: inWords(answer, error) };
  if (status >= 400 && status < 500 && !CURABLE_4XX.has(status)) return rejected(answer, error);
  return failure(answer, error, retryMs, true);
}

function rejected(answer: HttpAnswer, error: AnswerError): Attempt {
  return { kind: 'rejected', answer, message: inWords(answer, error) };
}

function failure(answer: HttpAnswer, error: AnswerError, retryMs: number | null, isCurable: boolean): Attempt {
  return { kind: 'failed', code: 'server_error', answer, retryAfterMs: retryMs, isCurable, message: inWords(answer, error) };
}

/** Status and the server's own words, on one line. */
function inWords({ status }: HttpAnswer, { message }: AnswerError): string {
  return message === null ? `status ${status}` : `status ${status}: ${quoted(message, SHOWN_WORDS)}`;
}

function shownBody(body: Buffer): string {
  return quoted(body.subarray(0, 4 * SHOWN_BODY).toString(), SHOWN_BODY);
}

function quoted(text: string, most: number): string {
  // The text may be the whole body of an answer.
  const line = text
    .slice(0, 4 * most)
    .replaceAll(/\s+/g, ' ')
    .trim();
  return `"${line.length > most ? `${line.slice(0, most).toWellFormed()}…` : line}"`;
}

/** Some servers answer an array of one error. */
function jsonOf(body: Buffer): unknown {
  if (body[0] !== 0x5b) return null;
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}

/** Some gateways make the id out of headers of the request, so it may hold a credential. */
function redactedId(headers: Answered['headers'], redact: Redaction): string | null {
  const id = requestIdOf(headers);
  return id === null ? null : redact(Buffer.from(id), false).toString();
}

function single(value: string | string[] | undefined): string | null {
  const text = (Array.isArray(value) ? value[0] : value)?.trim();
  return text === undefined || text === '' ? null : text;
}
