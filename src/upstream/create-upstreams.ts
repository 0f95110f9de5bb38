import { createNameTable } from '../domain/name-table.ts';
import { rewriteBody } from '../domain/rewrite-body.ts';
import { createUpstreamClient } from './client.ts';
import { createGate } from './gate.ts';
import { createIntake } from './intake.ts';
import type { Way } from './open-connection.ts';
import { createRedaction } from './redact.ts';
import type { Upstream } from './routes.ts';
import { createUpstreamLimiter } from './upstream-limiter.ts';

/** What is configured of an upstream, credentials apart. */
export interface UpstreamOptions {
  name: string;
  baseUrls: readonly string[];
  /** What a model is called there, by names and patterns of what clients call it. */
  aliases: Readonly<Record<string, string>>;
  /** Members that a request gets if it has none of their name. */
  add: Readonly<Record<string, unknown>>;
  maxInFlight: number;
  /** `adaptive` finds the number in flight up to `maxInFlight`; `fixed` keeps it there. */
  limiter: 'adaptive' | 'fixed';
  /** Requests per minute from all workers together, held by the rate of the task queue; null for no limit. */
  requestsPerMinute: number | null;
  /** Tokens this process may use per minute; null when only the upstream's own headers count. */
  tokensPerMinute: number | null;
  requestTimeoutMs: number;
  maxResponseBytes: number;
  maxFaults: number;
  maxRefusals: number;
  unavailableMaxMs: number | null;
}

/** What an upstream lets us in with; never shown. */
export interface UpstreamSecrets {
  apiKey: string | null;
  headers: Readonly<Record<string, string>>;
  /** How connections are made, by base URL; directly where it says nothing. */
  ways?: Readonly<Record<string, Way>>;
}

const MAX_RETRY_AFTER_MS = 60_000;
const REFUSAL_BACKOFF_MS = 1000;
/** Most slices of one upstream that a process takes at a time. */
const MAX_SLICES = 2000;
/** An answer that keeps trickling in may take this many request timeouts as a whole. */
const TOTAL_TIMEOUTS = 2;
/**
 * undici gives a connection back only when the event loop has come round: whoever takes over a place in flight would wait for that if
 * there were no other connection.
 */
const CONNECTIONS_PER_PLACE = 1.25;

/** All configured upstreams by name, each with its client, limiter and gate; `secrets` are by name too. */
export function createUpstreams(
  configured: readonly UpstreamOptions[],
  secrets: Readonly<Record<string, UpstreamSecrets>>,
): Map<string, Upstream> {
  return new Map(
    configured.map((options) => [options.name, createUpstream(options, secrets[options.name] ?? { apiKey: null, headers: {} })]),
  );
}

function createUpstream(options: UpstreamOptions, { apiKey, headers, ways = {} }: UpstreamSecrets): Upstream {
  const { name, baseUrls, maxInFlight, requestTimeoutMs, maxResponseBytes, maxFaults, maxRefusals, unavailableMaxMs } = options;
  const limiter = createUpstreamLimiter({ ...options, maxWaitMs: MAX_RETRY_AFTER_MS });
  return {
    name,
    client: createUpstreamClient({
      baseUrls,
      apiKey,
      headers,
      ways,
      requestTimeoutMs,
      totalTimeoutMs: TOTAL_TIMEOUTS * requestTimeoutMs,
      maxResponseBytes,
      connections: Math.ceil(maxInFlight * CONNECTIONS_PER_PLACE),
    }),
    limiter,
    intake: createIntake({ limit: () => limiter.limit, isRefusing: () => limiter.refusing.isMost, maxSlices: MAX_SLICES }),
    requestsPerMinute: options.requestsPerMinute,
    gate: createGate({ refusedInARow: () => limiter.refusing.inARow, unavailableMaxMs, maxRetryAfterMs: MAX_RETRY_AFTER_MS }),
    rules: { maxFaults, maxRefusals, maxRetryAfterMs: MAX_RETRY_AFTER_MS, refusalBackoffMs: REFUSAL_BACKOFF_MS, unavailableMaxMs },
    redact: createRedaction({ apiKey, headers, urls: [...baseUrls, ...Object.values(ways).flatMap(({ proxy }) => proxy ?? [])] }),
    rewrite: createRewrite(options),
  };
}

function createRewrite({ aliases, add }: Pick<UpstreamOptions, 'aliases' | 'add'>): Upstream['rewrite'] {
  if (Object.keys(aliases).length === 0 && Object.keys(add).length === 0) return (body) => body;
  const changes = { alias: createNameTable(Object.entries(aliases)), additions: add };
  return (body) => rewriteBody(body, changes);
}
