import { CommandError } from './command-error.ts';
import { EXIT } from './exit-codes.ts';
import type { ApiAddress, Call } from './http.ts';
import { oneLine, truncate } from './terminal-text.ts';

/** A call of the API failed. */
export class ApiFault extends CommandError {
  /** Null when no answer came. */
  readonly status: number | null;
  /** Whether the same call may succeed later. */
  readonly isTransient: boolean;
  /** What the API asks its clients to wait. */
  readonly retryAfterMs: number | null;

  constructor(message: string, given: { status?: number; isTransient: boolean; retryAfterMs?: number | null; cause?: unknown }) {
    const { status = null, isTransient, cause } = given;
    super(message, { cause, exitCode: isTransient && status !== 409 ? EXIT.unreachable : EXIT.error });
    this.status = status;
    this.isTransient = isTransient;
    this.retryAfterMs = given.retryAfterMs ?? null;
  }

  /** The same fault with one more sentence. */
  withHint(sentence: string): ApiFault {
    const { status, isTransient, retryAfterMs, cause } = this;
    return new ApiFault(`${this.message} ${sentence}`, { ...(status === null ? {} : { status }), isTransient, retryAfterMs, cause });
  }
}

/** No answer came, or only a part of it. */
export function networkFault(address: ApiAddress, error: unknown): ApiFault {
  const reason = reasonOf(error);
  const sentence =
    reason === 'timeout'
      ? `The API at ${address.baseUrl} did not answer in time.`
      : `Nothing answers at ${address.baseUrl} (${reason}). Is the API running, and is this its address (from ${address.baseUrlFrom})?`;
  return new ApiFault(sentence, { isTransient: true, cause: error });
}

/** An answer that no Batch API gives. */
export function notJson({ baseUrl, baseUrlFrom }: ApiAddress, cause: unknown): ApiFault {
  const message = `What answers at ${baseUrl} is no Batch API: its answer is not JSON. Check ${baseUrlFrom}.`;
  return new ApiFault(message, { isTransient: false, cause });
}

/** An answer of another status than was hoped for. */
export function describeRefusal(given: {
  address: ApiAddress;
  call: Call;
  answer: Response;
  text: string;
  retryAfterMs: number | null;
}): ApiFault {
  const { address, call, answer, text } = given;
  const { status } = answer;
  const id = answer.headers.get('x-request-id');
  const details = `(HTTP ${status}${id === null ? '' : `, request id ${oneLine(truncate(id, 100))}`})`;
  const said = messageOf(text);
  const message = sentenceFor(address, call, answer, said);
  return new ApiFault(`${message} ${details}`, {
    status,
    isTransient: mayRetry(answer),
    retryAfterMs: given.retryAfterMs,
  });
}

function sentenceFor(address: ApiAddress, call: Call, { status, headers }: Response, said: string | null): string {
  const { baseUrl, baseUrlFrom, keyHint } = address;
  if (status >= 300 && status < 400) {
    const to = oneLine(truncate(headers.get('location') ?? 'another address', 200));
    return `${baseUrl} redirects to ${to}. Give the final address as base URL; it is from ${baseUrlFrom}.`;
  }
  if (status === 401 || status === 403) return `${said ?? 'The API refused the key.'} ${keyHint}`;
  if ((status === 404 || status === 405 || status === 501) && isUnknownRoute(call, said)) {
    const v1 = baseUrl.endsWith('/v1') ? '' : ' The base URL of a Batch API usually ends in "/v1".';
    return `${baseUrl} has no route "${call.method} ${call.path.replace(/\?.*/, '')}", so it is no Batch API.${v1} The address is from ${baseUrlFrom}.`;
  }
  return said ?? `${baseUrl} answers ${status} to ${call.method} ${call.path}.`;
}

/** Collections are there on every Batch API. The message about an object that does not exist names its id. */
function isUnknownRoute({ path }: Call, said: string | null): boolean {
  const [, , id] = path.replace(/\?.*/, '').split('/');
  return id === undefined || said === null || /^(Invalid URL|not found|file not found)/i.test(said);
}

/** The rules of the official SDKs: `x-should-retry` decides, else the status. */
function mayRetry({ status, headers }: Response): boolean {
  const told = headers.get('x-should-retry');
  if (told === 'true' || told === 'false') return told === 'true';
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

/** The message of an error answer: OpenAI's envelope, or what other servers send in its place. */
function messageOf(text: string): string | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  const { error, message, detail }: { error?: unknown; message?: unknown; detail?: unknown } = Object(parsed);
  const inner: { message?: unknown } = Object(error);
  const found = [inner.message, error, message, detail].find((each) => typeof each === 'string' && each.trim() !== '');
  return typeof found === 'string' ? oneLine(truncate(found, 1000)) : null;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  if (error.name === 'TimeoutError') return 'timeout';
  const cause = error.cause instanceof Error ? error.cause : error;
  if ('code' in cause && (cause.code === 'UND_ERR_HEADERS_TIMEOUT' || cause.code === 'UND_ERR_BODY_TIMEOUT')) return 'timeout';
  return oneLine('code' in cause && typeof cause.code === 'string' ? cause.code : cause.message);
}

/** Whether an error means that the API is away or busy, so that a later try may work. */
export function isTransient(error: unknown): error is ApiFault {
  return error instanceof ApiFault && error.isTransient;
}
