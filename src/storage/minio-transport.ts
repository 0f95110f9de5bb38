import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { ObjectStoreError } from './object-store.ts';

/** Tries of one call before it throws, and the wait before the second one; the wait doubles. */
const TRIES = 4;
const FIRST_WAIT_MS = 100;

type OnResponse = (response: IncomingMessage) => void;

/** What a call waits for. */
export interface Patience {
  /** How long the server may be silent, once there is a connection. */
  silenceMs: number;
  /** Longest from the call to the first byte of its answer, the wait for a free connection included; null for no limit. */
  answerMs: number | null;
}

/**
 * What minio-js sends requests with. It has no timeout of its own and leaves the body of an answer that it does not like
 * unread, which keeps the socket for ever; both are cured here.
 */
export function createTransport(protocol: string, { silenceMs, answerMs }: Patience): Pick<typeof http, 'request'> {
  const { request: send } = protocol === 'https:' ? https : http;

  function request(options: RequestOptions | string | URL, onResponse?: OnResponse): ClientRequest;
  function request(url: string | URL, options: RequestOptions, onResponse?: OnResponse): ClientRequest;
  function request(target: RequestOptions | string | URL, second?: RequestOptions | OnResponse, third?: OnResponse): ClientRequest {
    const onResponse = typeof second === 'function' ? second : third;
    const sent = typeof second === 'object' && (typeof target === 'string' || target instanceof URL) ? send(target, second) : send(target);
    let answer: IncomingMessage | null = null;
    const end = (ms: number) => (answer ?? sent).destroy(withCode(`no sign of the server for ${ms} ms`, 'ETIMEDOUT'));
    const deadline = answerMs === null ? null : setTimeout(end, answerMs, answerMs);
    const stopDeadline = () => void (deadline !== null && clearTimeout(deadline));
    sent.once('close', stopDeadline);
    sent.setTimeout(silenceMs, () => {
      // Unread data means that the reader is slow, not the server.
      if (answer !== null && answer.readableLength > 0) sent.setTimeout(silenceMs);
      else end(silenceMs);
    });
    sent.on('response', (response) => {
      stopDeadline();
      answer = response;
      if (isBusy(response.statusCode ?? 0)) response.resume();
      onResponse?.(response);
    });
    return sent;
  }
  return { request };
}

/**
 * Runs one call, again after an answer that asks for it (429, 5xx) or a lost connection; silence is not tried again. `run` is
 * told which try it is, because a repeated write may meet itself. Whatever remains is thrown as `ObjectStoreError`.
 */
export async function withRetries<T>(operation: string, key: string, run: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run(attempt);
    } catch (error) {
      if (error instanceof ObjectStoreError) throw error;
      if (attempt === TRIES || !isTransient(error)) throw toObjectStoreError(operation, key, error);
      await delay(FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.5 + Math.random()));
    }
  }
}

/** The error without what S3 puts beside it: a refused signature comes with the access key id. */
export function toObjectStoreError(operation: string, key: string, error: unknown): ObjectStoreError {
  const code = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  const cause = new Error(code === null || message.includes(code) ? message : `${message} (${code})`);
  return new ObjectStoreError(operation, key, cause, code !== null && FULL_CODES.has(code));
}

/** The S3 or system code of an error, such as `NoSuchKey` or `ECONNRESET`. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

export function withCode(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

const PASSING_CODES = new Set([
  ...['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'EAI_AGAIN'],
  // As undici says that the server hung up, the second one after a `Connection: close`.
  ...['UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'],
  // Two conditional writes at the same moment, as Amazon answers them; the second try gets a plain 412.
  ...['ConditionalRequestConflict', 'OperationAborted'],
]);

/** A full disk, or the quota of the bucket, as MinIO says it; the latter as Ceph does. */
const FULL_CODES = new Set(['XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'QuotaExceeded']);

/** What minio-js says of an answer that asks for a later try. */
const BUSY_MESSAGE = 'Retryable HTTP status';

/** Whether a later try may work: the connection was lost, or the server asked for it. */
export function isTransient(error: unknown): boolean {
  const code = errorCode(error);
  if (code !== null) return PASSING_CODES.has(code);
  // minio-js drops the answer of a retryable status and throws a plain error.
  return error instanceof Error && error.message.includes(BUSY_MESSAGE);
}

export function busyError(status: number): Error {
  return new Error(`${BUSY_MESSAGE}: ${status}`);
}

export function isBusy(status: number): boolean {
  return [408, 429, 499, 500, 502, 503, 504, 520].includes(status);
}
