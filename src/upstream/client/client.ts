import type { Sent } from '../../domain/attempt.ts';
import { parseBaseUrl } from './base-url.ts';
import { createHttpPool, type Exchange } from './http-exchange.ts';
import { readAttempt } from './read-attempt.ts';
import type { Redaction } from './redact.ts';
import { type ServerCredentials, serverHeaders } from './server-headers.ts';
import type { Way } from './open-connection.ts';

/** Sends requests to one server. */
export interface ServerClient {
  /** Whatever the server does is an attempt. Rejects only for a request that cannot be sent at all. */
  send(request: UpstreamRequest, signal: AbortSignal): Promise<Sent>;
  /** Ends open connections. */
  close(): Promise<void>;
}

export interface UpstreamRequest {
  /** The endpoint of the batch, such as `/v1/chat/completions`; `parseBaseUrl` says where it is on a server. */
  endpoint: string;
  /** Sent as it is. */
  body: Uint8Array;
  /** The same for every attempt of a request. */
  idempotencyKey: string;
  /** How many times the request timeout it gets; 1 unless given. */
  patience?: number;
  /** Hears of an answer as it arrives; see `HttpRequest`. */
  onBytes?: (bytes: number) => Promise<void> | void;
  /** For logs and traces; `attempt` is from 1, over all attempts of the request that are known. */
  about: { batchId: string; line: number; attempt: number };
  /** W3C trace context, where the attempt is part of a trace. */
  traceHeaders?: Readonly<Record<string, string>>;
}

export interface ServerClientOptions extends ServerCredentials {
  baseUrl: string;
  /** Longest wait for the headers of an answer and for each next byte. */
  requestTimeoutMs: number;
  /** Longest time of one try as a whole. */
  totalTimeoutMs: number;
  maxResponseBytes: number;
  /** How connections are made; directly where it says nothing. */
  way?: Way | undefined;
  /** Most connections. */
  connections: number;
  redact: Redaction;
  /** Unix time, for Retry-After dates. */
  nowMs?: () => number;
}

/** Throws when the base URL is none. */
export function createServerClient(options: ServerClientOptions): ServerClient {
  const { redact, maxResponseBytes, nowMs = Date.now } = options;
  const { origin, path, userinfo } = parseBaseUrl(options.baseUrl);
  // The body is JSON, whatever is configured.
  const headers = { ...serverHeaders(options, userinfo), 'content-type': 'application/json' };
  const pool = createHttpPool({ ...options, origin });

  async function exchange(request: UpstreamRequest, signal: AbortSignal): Promise<Exchange> {
    return await pool.exchange(
      {
        path: path(request.endpoint),
        headers: { ...headers, ...request.traceHeaders, 'idempotency-key': request.idempotencyKey },
        body: request.body,
        ...(request.patience === undefined ? {} : { patience: request.patience }),
        ...(request.onBytes === undefined ? {} : { onBytes: request.onBytes }),
      },
      signal,
    );
  }

  return {
    async send(request, signal) {
      const found = await exchange(request, signal);
      return await readAttempt(found, { endpoint: request.endpoint, nowMs: nowMs(), maxResponseBytes, redact });
    },
    close: async () => await pool.close(),
  };
}
