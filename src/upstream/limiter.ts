/** How many requests an upstream has in flight from this process. Fixed today; the interface is that of an adaptive one. */
export interface Limiter {
  /** Waits for a place, fairly between batches; rejects with the signal's reason when it ends first. */
  acquire(batchId: string, signal: AbortSignal): Promise<Permit>;
  readonly inFlight: number;
  readonly limit: number;
  readonly waiting: number;
}

/** A place in flight; `release` exactly once, with what was seen. */
export interface Permit {
  release(seen: Observation): void;
}

/** What the limiter learns from an attempt. `ms` is from send to last byte. */
export type Observation =
  | { kind: 'answer'; ms: number }
  | { kind: 'overload'; retryAfterMs: number | null }
  | { kind: 'fault' }
  | { kind: 'unavailable' }
  | { kind: 'ignored' };
