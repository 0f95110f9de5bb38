import type { RateBudgets } from '../../domain/attempt.ts';

/**
 * What the limiter learns from an attempt. `ms` is from send to last byte, null for an answer that did no work (a 4xx);
 * `budgets` is what the headers of the answer told.
 */
export type Observation =
  | { kind: 'answer'; ms: number | null; outputTokens?: number | null; totalTokens?: number | null; budgets?: RateBudgets | null }
  | { kind: 'overload'; retryAfterMs: number | null; budgets?: RateBudgets | null }
  /** `answered` tells a status or a malformed answer from a reset or a timeout: somebody is there. */
  | { kind: 'fault'; answered: boolean }
  /** No whole answer within the `ms` that the request was given. */
  | { kind: 'timeout'; ms: number }
  | { kind: 'unavailable' }
  /** Nothing was learnt: the request was aborted. */
  | { kind: 'ignored' };
