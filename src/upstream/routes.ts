import type { UpstreamClient } from './client.ts';
import type { Gate } from './gate.ts';
import type { Limiter } from './limiter.ts';

/** One upstream as workers use it: the client, what limits it, and its rules. */
export interface Upstream {
  readonly name: string;
  readonly client: UpstreamClient;
  readonly limiter: Limiter;
  readonly gate: Gate;
  readonly rules: UpstreamRules;
  /** Replaces configured credentials in an answer with a status other than 2xx by `***`. */
  redact(body: Buffer): Buffer;
}

/** Counts and waits of §6 of the design; configuration. */
export interface UpstreamRules {
  /** The fault that ends a request (5). */
  maxFaults: number;
  /** The refusal that ends a request (20). */
  maxRefusals: number;
  /** Longest wait a Retry-After may cause. */
  maxRetryAfterMs: number;
  /** First backoff after a refusal without Retry-After; doubles up to `maxRetryAfterMs`. */
  refusalBackoffMs: number;
  /** How long the gate may be closed before waiting requests end as `connection_error`; null waits until the window ends. */
  unavailableMaxMs: number | null;
}

/** Which upstream serves a model. */
export interface ModelRoutes {
  /** The name of the one upstream that serves every model given; null when none does, `'unknown'` naming the first model nobody serves. */
  route(models: readonly string[]): { upstream: string } | { unknownModel: string } | 'mismatched';
  readonly names: readonly string[];
}
