import type { Observation } from './limiter.ts';

/**
 * Holds requests back while an upstream is unavailable. Closed means: nothing is sent except probes, at growing intervals,
 * one waiting request at a time.
 */
export interface Gate {
  /** Resolves to `'open'` at once when open, or to `'probe'` for the one request that may try while closed; rejects when the signal ends. */
  pass(signal: AbortSignal): Promise<'open' | 'probe'>;
  /** Learns from an attempt of a request (`requestKey` tells different requests apart). */
  observe(requestKey: string, seen: Observation): void;
  /** Since when it has been closed and why; null while open. */
  readonly closed: { sinceMs: number; reason: string } | null;
}
