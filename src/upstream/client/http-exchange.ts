import type { ConnectCause } from './connect-fault.ts';
import { createConnectionPool } from './connection-pool.ts';
import { createOpener, type Way } from './open-connection.ts';
import { Sending } from './sending.ts';

/** One HTTP request and its answer, as they went over the wire; what either means is decided elsewhere. */
export interface HttpPool {
  exchange(request: HttpRequest, signal: AbortSignal): Promise<Exchange>;
  /** Ends all connections, also those in use. */
  close(): Promise<void>;
}

export interface HttpRequest {
  /** POST, unless given. */
  method?: 'GET' | 'POST';
  path: string;
  headers: Record<string, string>;
  /** Null sends none. */
  body: Uint8Array | null;
  /** How many times as long as usual its answer may take; 1 unless given. */
  patience?: number;
  /**
   * Hears of each part of an answer as it arrives, in bytes. While a promise that it answers is pending the rest of the answer is not
   * read, and no timeout runs. A promise that is rejected ends the exchange as `aborted`.
   */
  onBytes?: (bytes: number) => Promise<void> | void;
}

/** `ms` is from writing the request to the last byte, without the time in which reading was held up by `onBytes`. */
export type Exchange =
  | { kind: 'answered'; status: number; headers: AnswerHeaders; body: Buffer; ms: number }
  /** Failed before anything of the request was read by the server. */
  | { kind: 'not_connected'; cause: ConnectCause; message: string }
  | { kind: 'reset' | 'timeout' | 'too_large' | 'malformed'; message: string; ms: number }
  | { kind: 'aborted' };

export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface HttpPoolOptions extends AnswerBounds {
  origin: string;
  /** Absent connects directly. */
  way?: Way | undefined;
  /** Most connections open at a time; requests beyond them queue, for little longer than connecting may take. */
  connections: number;
  /** A connection takes no new request after a random time between the two. */
  connectionLifetimeMs?: readonly [least: number, most: number];
}

/** What an answer may take. */
export interface AnswerBounds {
  /** Longest wait for the headers of an answer, and for the next byte of its body. */
  requestTimeoutMs: number;
  /** Longest time from writing the request to the last byte of the answer. */
  totalTimeoutMs: number;
  maxResponseBytes: number;
}

const DIRECT: Way = { proxy: null, tls: null };
const MAX_CONNECT_TIMEOUT_MS = 10_000;

/** Keep-alive connections to one server, on undici. Rejects only when it is used wrongly. */
export function createHttpPool(options: HttpPoolOptions): HttpPool {
  const { origin, way = DIRECT, connections, connectionLifetimeMs, requestTimeoutMs } = options;
  const connectTimeoutMs = Math.min(MAX_CONNECT_TIMEOUT_MS, requestTimeoutMs);
  const pool = createConnectionPool({
    origin,
    open: createOpener({ origin, ...way, timeoutMs: connectTimeoutMs }),
    connections,
    // Longer, so that a connection which fails says why.
    waitMs: 1.5 * connectTimeoutMs,
    ...(connectionLifetimeMs === undefined ? {} : { lifetimeMs: connectionLifetimeMs }),
  });

  return {
    async exchange(request, signal) {
      if (signal.aborted) return { kind: 'aborted' };
      return await new Promise((resolve, reject) => new Sending({ request, signal, bounds: options, pool, resolve, reject }).begin());
    },
    close: pool.close,
  };
}
