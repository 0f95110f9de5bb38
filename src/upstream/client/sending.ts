import type { Dispatcher } from 'undici';
import { answerFault, MISUSE } from './answer-fault.ts';
import { codeOf, type ConnectFault } from './connect-fault.ts';
import type { Connection, ConnectionPool, Waiter } from './connection-pool.ts';
import type { AnswerBounds, AnswerHeaders, Exchange, HttpRequest } from './http-exchange.ts';
import { onAbort } from '../../async/on-abort.ts';

/**
 * A reset so soon after sending means that the server closed an idle connection in the very moment in which we used it. Later it may
 * have worked on the request, and a repeat is no longer free.
 */
const STALE_MS = 1000;

interface SendingOptions {
  request: HttpRequest;
  signal: AbortSignal;
  bounds: AnswerBounds;
  pool: Pick<ConnectionPool, 'take' | 'release'>;
  resolve: (exchange: Exchange) => void;
  reject: (error: unknown) => void;
}

/** One request on its way: waits for a connection, is written, and gathers the answer. Ends once, whatever happens. */
export class Sending implements Waiter, Dispatcher.DispatchHandler {
  isFresh = false;
  readonly #options: SendingOptions;
  readonly #dispatched: Dispatcher.DispatchOptions;
  readonly #patience: number;
  #forget: () => void = () => undefined;
  #leaveQueue: () => void = () => undefined;
  #connection: Connection | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #isOver = false;
  #isReused = false;
  #sentAtMs = 0;
  #pausedAtMs = 0;
  #total: NodeJS.Timeout | undefined;
  #status = 0;
  #headers: AnswerHeaders = {};
  #body = new AnswerBody();

  constructor(options: SendingOptions) {
    const { method = 'POST', path, headers, body, patience = 1 } = options.request;
    this.#options = options;
    this.#patience = patience;
    const timeoutMs = options.bounds.requestTimeoutMs * patience;
    this.#dispatched = { method, path, headers, body, headersTimeout: timeoutMs, bodyTimeout: timeoutMs };
  }

  begin(): void {
    this.#forget = onAbort(this.#options.signal, () => this.#stop({ kind: 'aborted' }));
    this.#queue();
  }

  #queue(): void {
    const leave = this.#options.pool.take(this);
    if (this.#connection === null) this.#leaveQueue = leave;
  }

  onConnection(connection: Connection): void {
    this.#connection = connection;
    connection.client.dispatch(this.#dispatched, this);
  }

  onFault({ cause, message }: ConnectFault): void {
    this.#end({ kind: 'not_connected', cause, message });
  }

  onClosed(): void {
    this.#end({ kind: 'aborted' });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Ended in the moment between: it must not reach the wire any more.
    if (this.#isOver) return void controller.abort(new Error('ended by the caller'));
    if (this.#connection !== null) {
      this.#isReused = this.#connection.used;
      this.#connection.used = true;
    }
    this.#sentAtMs = performance.now();
    this.#startTotal();
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    // A 1xx is no answer yet.
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    const coding = String(headers['transfer-encoding'] ?? 'chunked').toLowerCase();
    if (coding !== 'chunked' && coding !== 'identity') {
      const message = `the answer of the upstream has the transfer encoding "${coding.slice(0, 80)}", and only chunked was expected`;
      return this.#stop({ kind: 'malformed', message, ms: this.#elapsed() });
    }
    const length = Number(headers['content-length']);
    if (length > this.#options.bounds.maxResponseBytes) return this.#stopTooLarge();
    if (Number.isSafeInteger(length)) this.#body = new AnswerBody(length);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici hands over nothing when it goes on after a pause; to pause again for that would never end.
    if (this.#isOver || chunk.length === 0) return;
    this.#body.add(chunk);
    if (this.#body.bytes > this.#options.bounds.maxResponseBytes) return this.#stopTooLarge();
    const held = this.#options.request.onBytes?.(chunk.length);
    if (held !== undefined) this.#pauseFor(controller, held);
  }

  onResponseEnd(): void {
    this.#release();
    this.#end({ kind: 'answered', status: this.#status, headers: this.#headers, body: this.#body.take(), ms: this.#elapsed() });
  }

  onResponseError(_: Dispatcher.DispatchController, found: Error): void {
    const error = this.#connection?.tlsError ?? found;
    this.#release();
    if (this.#isOver) return;
    const code = codeOf(error);
    if (MISUSE.has(code)) {
      this.#leave();
      return this.#options.reject(error);
    }
    if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') return this.#end({ kind: 'aborted' });
    // The connection was lost before anything was written: any other will do.
    if (this.#controller === null) return this.#queue();
    const ms = this.#elapsed();
    const hasAnswer = this.#status > 0;
    if (this.#isReused && !hasAnswer && ms < STALE_MS && isReset(code)) return this.#sendFresh();
    const seconds = (this.#options.bounds.requestTimeoutMs * this.#patience) / 1000;
    this.#end(answerFault(error, { seconds, ms, answeredBytes: hasAnswer ? this.#body.bytes : null }));
  }

  /** Once more, for free, on a connection that no server can have closed as idle. */
  #sendFresh(): void {
    clearTimeout(this.#total);
    this.#controller = null;
    this.isFresh = true;
    this.#queue();
  }

  #pauseFor(controller: Dispatcher.DispatchController, held: Promise<void>): void {
    controller.pause();
    clearTimeout(this.#total);
    this.#pausedAtMs = performance.now();
    held.then(
      () => {
        if (this.#isOver) return;
        this.#sentAtMs += performance.now() - this.#pausedAtMs;
        this.#startTotal();
        controller.resume();
      },
      () => this.#stop({ kind: 'aborted' }),
    );
  }

  #startTotal(): void {
    const totalMs = this.#options.bounds.totalTimeoutMs * this.#patience;
    const late = () =>
      this.#stop({ kind: 'timeout', message: `the upstream did not finish its answer within ${totalMs / 1000} s`, ms: this.#elapsed() });
    this.#total = setTimeout(late, Math.max(0, totalMs - this.#elapsed()));
  }

  #stopTooLarge(): void {
    const message = `the answer of the upstream is longer than ${this.#options.bounds.maxResponseBytes} bytes`;
    this.#stop({ kind: 'too_large', message, ms: this.#elapsed() });
  }

  #elapsed(): number {
    return performance.now() - this.#sentAtMs;
  }

  #stop(exchange: Exchange): void {
    this.#end(exchange);
    this.#controller?.abort(new Error('ended by the caller'));
  }

  #end(exchange: Exchange): void {
    if (this.#isOver) return;
    this.#leave();
    this.#options.resolve(exchange);
  }

  #leave(): void {
    this.#isOver = true;
    clearTimeout(this.#total);
    this.#forget();
    this.#leaveQueue();
  }

  #release(): void {
    if (this.#connection !== null) this.#options.pool.release(this.#connection);
    this.#connection = null;
  }
}

/** Answers that come in one piece or two are cheaper to join than to copy. */
const LARGE_BYTES = 131_072;

/** The bytes of an answer. A large one of known length is copied into one buffer as it comes, so that it is never in memory twice. */
class AnswerBody {
  bytes = 0;
  readonly #whole: Buffer | null;
  #chunks: Buffer[] = [];

  constructor(length: number | null = null) {
    this.#whole = length === null || length < LARGE_BYTES ? null : Buffer.allocUnsafeSlow(length);
  }

  add(chunk: Buffer): void {
    if (this.#whole === null) this.#chunks.push(chunk);
    else chunk.copy(this.#whole, this.bytes);
    this.bytes += chunk.length;
  }

  take(): Buffer {
    // Never more than what came: the rest of the buffer is memory of something else.
    if (this.#whole !== null) return this.#whole.subarray(0, this.bytes);
    const [first] = this.#chunks;
    return this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.bytes);
  }
}

function isReset(code: string): boolean {
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED';
}
