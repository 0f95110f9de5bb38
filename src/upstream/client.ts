import type { Usage } from '../domain/batch.ts';
import { parseBaseUrl } from './base-url.ts';
import { readAttempt } from './read-attempt.ts';
import type { Way } from './open-connection.ts';
import type { RateBudgets } from './rate-headers.ts';
import { createHttpPool, type Exchange, type HttpPool } from './http-exchange.ts';

/** Sends one request to an upstream. Never throws for what an upstream does: whatever happens is an `Attempt`. */
export interface UpstreamClient {
  send(request: UpstreamRequest, signal: AbortSignal): Promise<Attempt>;
  /** Ends open connections. */
  close(): Promise<void>;
}

export interface UpstreamRequest {
  /** The endpoint of the batch, such as `/v1/chat/completions`; `parseBaseUrl` says where it is on a server. */
  endpoint: string;
  /** Sent as it is: the exact bytes of the `body` member of the input line. */
  body: Uint8Array;
  /** The same for every attempt of a request. */
  idempotencyKey: string;
  /** W3C trace context, where the attempt is part of a trace. */
  traceHeaders?: Readonly<Record<string, string>>;
}

/** What one try of a request ended in (design: "Unavailability", "Refusals", "Faults"). Times are milliseconds. */
export type Attempt =
  /** An outcome: 2xx with a JSON object, or a status that no repeat can cure. `body` is the exact answer; `usage` what a 2xx reports. */
  | {
      kind: 'answer';
      status: number;
      body: Buffer;
      requestId: string | null;
      usage: Usage | null;
      budgets: RateBudgets | null;
      ms: number;
    }
  /** 429, 503, 529: not now. */
  | {
      kind: 'refusal';
      status: number;
      body: Buffer;
      requestId: string | null;
      retryAfterMs: number | null;
      budgets: RateBudgets | null;
      ms: number;
    }
  /** The request's own doing: other 5xx and 408 (with status and body), a timeout, a malformed answer, a reset. */
  | {
      kind: 'fault';
      code: FaultCode;
      message: string;
      answer: { status: number; body: Buffer; requestId: string | null } | null;
      ms: number;
    }
  /** Nobody there: name not found, connect refused or timed out. The request was never on the wire. */
  | { kind: 'unavailable'; message: string }
  /** The caller's signal ended it. */
  | { kind: 'aborted' };

/** Codes as they appear in error lines when there is no HTTP answer to show. */
export type FaultCode = 'request_timeout' | 'connection_error' | 'invalid_response' | 'server_error';

export interface UpstreamClientOptions {
  /** One or more servers that answer alike; requests go round them. */
  baseUrls: readonly string[];
  /** Sent as `Authorization: Bearer`; null sends none. */
  apiKey: string | null;
  /** Sent with every request; an `authorization` here goes before the key. */
  headers: Readonly<Record<string, string>>;
  /** Longest wait for the headers of an answer and for each next byte. */
  requestTimeoutMs: number;
  /** Longest time of one try as a whole. */
  totalTimeoutMs: number;
  maxResponseBytes: number;
  /** How connections are made, by base URL; directly where it says nothing. */
  ways?: Readonly<Record<string, Way>>;
  /** Most connections per base URL. */
  connections: number;
  /** Unix time, for Retry-After dates. */
  nowMs?: () => number;
  /** For how long a server is passed over. */
  monotonicMs?: () => number;
}

/** How long a server that could not be reached is passed over while another can be. */
const PASS_OVER_MS = 5000;

/** A client of one upstream. Throws when a base URL is none, or there is none. */
export function createUpstreamClient(options: UpstreamClientOptions): UpstreamClient {
  const { nowMs = Date.now, monotonicMs = () => performance.now() } = options;
  const servers = options.baseUrls.map((text) => createServer(text, options));
  if (servers.length === 0) throw new Error('an upstream needs a base URL');
  let turn = 0;

  /** All servers, beginning with the one whose turn it is; those passed over come last. */
  function inTurn(): Server[] {
    const from = turn++ % servers.length;
    const round = [...servers.slice(from), ...servers.slice(0, from)];
    const now = monotonicMs();
    return [...round.filter((server) => server.passOverUntilMs <= now), ...round.filter((server) => server.passOverUntilMs > now)];
  }

  async function exchangeOnce(server: Server, request: UpstreamRequest, signal: AbortSignal): Promise<Exchange> {
    return await server.pool.exchange(
      {
        path: server.path(request.endpoint),
        headers: { ...server.headers, ...request.traceHeaders, 'idempotency-key': request.idempotencyKey },
        body: request.body,
      },
      signal,
    );
  }

  async function send(request: UpstreamRequest, signal: AbortSignal): Promise<Attempt> {
    let last: Attempt = { kind: 'aborted' };
    for (const server of servers.length === 1 ? servers : inTurn()) {
      // Only one request at a time finds out whether a server that was away is back.
      if (server.passOverUntilMs > 0) server.passOverUntilMs = monotonicMs() + PASS_OVER_MS;
      const exchange = await exchangeOnce(server, request, signal);
      last = await readAttempt(exchange, { nowMs: nowMs(), maxResponseBytes: options.maxResponseBytes });
      if (last.kind === 'aborted') return last;
      server.passOverUntilMs = last.kind === 'unavailable' ? monotonicMs() + PASS_OVER_MS : 0;
      if (last.kind !== 'unavailable') return last;
    }
    return last;
  }

  return {
    send,
    async close() {
      await Promise.all(servers.map(async ({ pool }) => await pool.close()));
    },
  };
}

interface Server {
  pool: HttpPool;
  path: (endpoint: string) => string;
  headers: Record<string, string>;
  /** 0 while it can be reached. */
  passOverUntilMs: number;
}

function createServer(baseUrl: string, options: UpstreamClientOptions): Server {
  const { origin, path, userinfo } = parseBaseUrl(baseUrl);
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'nightshift' };
  if (userinfo !== null) headers['authorization'] = `Basic ${Buffer.from(userinfo).toString('base64')}`;
  if (options.apiKey !== null) headers['authorization'] = `Bearer ${options.apiKey}`;
  for (const [name, value] of Object.entries(options.headers)) headers[name.toLowerCase()] = value;
  // The body is JSON and its answer is wanted as it is, whatever is configured.
  headers['content-type'] = 'application/json';
  headers['accept-encoding'] = 'identity';
  return { pool: createHttpPool({ ...options, origin, way: options.ways?.[baseUrl] }), path, headers, passOverUntilMs: 0 };
}
