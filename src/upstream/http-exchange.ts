import { Client, type Dispatcher, errors, Pool } from 'undici';
import { onAbort } from './on-abort.ts';

/** One HTTP request and its answer, as they went over the wire; what either means is decided elsewhere. */
export interface HttpPool {
  exchange(request: HttpRequest, signal: AbortSignal): Promise<Exchange>;
  /** Ends all connections, also those in use. */
  close(): Promise<void>;
}

export interface HttpRequest {
  path: string;
  headers: Record<string, string>;
  body: Uint8Array;
}

/** `ms` is from sending to the last byte. */
export type Exchange =
  | { kind: 'answered'; status: number; headers: AnswerHeaders; body: Buffer; ms: number }
  /** Failed before anything was written to a connection. */
  | { kind: 'not_connected'; message: string }
  /** A kept-alive connection was already dead: no byte of an answer came. */
  | { kind: 'stale'; message: string; ms: number }
  | { kind: 'reset' | 'timeout' | 'too_large' | 'malformed'; message: string; ms: number }
  | { kind: 'aborted' };

type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface HttpPoolOptions {
  origin: string;
  /** Most connections open at a time; requests beyond them queue. */
  connections: number;
  /** Longest wait for the headers of an answer, and for the next byte of its body. */
  requestTimeoutMs: number;
  /** Longest time from sending to the last byte. */
  totalTimeoutMs: number;
  maxResponseBytes: number;
}

const MAX_CONNECT_TIMEOUT_MS = 10_000;

/** What undici is asked to send, with a note of the socket that it goes out on. */
class Sending implements Dispatcher.DispatchOptions {
  readonly method = 'POST';
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  socket: { used: boolean } | null = null;

  constructor({ path, headers, body }: HttpRequest) {
    this.path = path;
    this.headers = headers;
    this.body = body;
  }
}

/** Keep-alive connections to one server, on undici. Rejects only when it is used wrongly. */
export function createHttpPool({ origin, connections, requestTimeoutMs, totalTimeoutMs, maxResponseBytes }: HttpPoolOptions): HttpPool {
  // undici does not tell on which socket a request went out, and only a reused one excuses a reset: so each client of the
  // pool (one socket at a time, no pipelining) notes whether its socket has carried a request before.
  const pool = new Pool(origin, {
    connections,
    connect: { timeout: Math.min(MAX_CONNECT_TIMEOUT_MS, requestTimeoutMs) },
    headersTimeout: requestTimeoutMs,
    bodyTimeout: requestTimeoutMs,
    factory(address, options) {
      const client = new Client(address, options);
      const socket = { used: false };
      client.on('connect', () => (socket.used = false));
      const dispatch = client.dispatch.bind(client);
      client.dispatch = (request, handler) => {
        if (request instanceof Sending) request.socket = socket;
        return dispatch(request, handler);
      };
      return client;
    },
  });

  function exchange(request: HttpRequest, signal: AbortSignal): Promise<Exchange> {
    if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
    return new Promise((resolve, reject) => {
      const sentAtMs = performance.now();
      const chunks: Buffer[] = [];
      let [bytes, status, ended, reused] = [0, 0, false, false];
      let answerHeaders: AnswerHeaders = {};
      let controller: Dispatcher.DispatchController | null = null;

      const leave = () => {
        ended = true;
        clearTimeout(total);
        forget();
      };
      const end = (exchange: Exchange) => {
        if (ended) return;
        leave();
        resolve(exchange);
      };
      const elapsed = () => performance.now() - sentAtMs;
      const stop = (exchange: Exchange) => {
        end(exchange);
        controller?.abort(new Error('ended by the caller'));
      };
      const abort = () => stop({ kind: 'aborted' });
      const total = setTimeout(() => {
        if (controller === null) stop({ kind: 'not_connected', message: 'no connection was free in time' });
        else stop({ kind: 'timeout', message: `the upstream did not finish its answer within ${totalTimeoutMs / 1000} s`, ms: elapsed() });
      }, totalTimeoutMs);
      const forget = onAbort(signal, abort);

      const sending = new Sending(request);
      pool.dispatch(sending, {
        onRequestStart(started) {
          controller = started;
          // Ended while it waited for a connection: it must not reach the wire any more.
          if (ended) return started.abort(new Error('ended by the caller'));
          reused = sending.socket?.used ?? false;
          if (sending.socket !== null) sending.socket.used = true;
        },
        onResponseStart(_, statusCode, received) {
          // A 1xx is no answer yet.
          if (statusCode < 200) return;
          status = statusCode;
          answerHeaders = received;
        },
        onResponseData(_, chunk) {
          bytes += chunk.length;
          if (bytes > maxResponseBytes)
            stop({ kind: 'too_large', message: `the answer of the upstream is longer than ${maxResponseBytes} bytes`, ms: elapsed() });
          else chunks.push(chunk);
        },
        onResponseEnd() {
          const [first] = chunks;
          end({
            kind: 'answered',
            status,
            headers: answerHeaders,
            body: chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes),
            ms: elapsed(),
          });
        },
        onResponseError(_, error) {
          if (ended) return;
          const code = codeOf(error);
          if (MISUSE.has(code)) {
            leave();
            reject(error);
          } else if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') {
            end({ kind: 'aborted' });
          } else if (controller === null) {
            end({ kind: 'not_connected', message: connectMessage(code) });
          } else {
            end(failure(code, status > 0, reused, requestTimeoutMs, elapsed()));
          }
        },
      });
    });
  }

  return { exchange, close: async () => await pool.destroy() };
}

function failure(code: string, answering: boolean, reused: boolean, requestTimeoutMs: number, ms: number): Exchange {
  if (code === 'UND_ERR_HEADERS_TIMEOUT')
    return { kind: 'timeout', message: `the upstream did not begin to answer within ${requestTimeoutMs / 1000} s`, ms };
  if (code === 'UND_ERR_BODY_TIMEOUT')
    return { kind: 'timeout', message: `the upstream fell silent for ${requestTimeoutMs / 1000} s in the middle of its answer`, ms };
  // In the middle of an answer the parser complains when it ends too early: that is a reset.
  const isGarbled = !answering && (code === PARSER_ERROR || code === 'UND_ERR_HEADERS_OVERFLOW');
  if (isGarbled) return { kind: 'malformed', message: 'the answer of the upstream is not HTTP', ms };
  if (answering) return { kind: 'reset', message: 'the upstream closed the connection in the middle of its answer', ms };
  return { kind: reused ? 'stale' : 'reset', message: 'the upstream closed the connection without an answer', ms };
}

/** Says what kept us from connecting; without the address, which clients of the batch need not know. */
function connectMessage(code: string): string {
  if (code === 'ECONNREFUSED') return 'the upstream refuses connections (ECONNREFUSED)';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the name of the upstream is not found (${code})`;
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'connecting to the upstream timed out';
  return `the upstream cannot be connected to (${code})`;
}

const PARSER_ERROR = 'HTTPParserError';
/** undici will not send such a request, and no repeat changes that: a header that is none, or one that is undici's own. */
const MISUSE: ReadonlySet<string> = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH']);

function codeOf(error: unknown): string {
  if (error instanceof errors.HTTPParserError) return PARSER_ERROR;
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown cause';
}
