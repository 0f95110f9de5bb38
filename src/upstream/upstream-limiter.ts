import { type ConcurrencyControl, createConcurrencyControl } from './concurrency-control.ts';
import { createLimiter, type Limiter, type Observation } from './limiter.ts';
import { createRefusalCount } from './refusal-count.ts';
import { createSendBudget } from './send-budget.ts';

export interface UpstreamLimiterOptions {
  /** `adaptive` finds the number in flight up to `maxInFlight`; `fixed` keeps it there. */
  limiter: 'adaptive' | 'fixed';
  /** Most requests in flight from this process. */
  maxInFlight: number;
  /** See `ConcurrencyControlOptions`. */
  requestTimeoutMs?: number;
  /** Tokens this process may use per minute; null when only the upstream's own headers count. */
  tokensPerMinute?: number | null;
  /** Longest wait at a time that headers of an upstream can bring about; a budget that is used up is looked at again after it. */
  maxWaitMs: number;
  /** Monotonic. */
  monotonicMs?: () => number;
}

/** Of ten in a hundred that are refused by chance it makes most of the latest hardly ever. */
const REFUSAL_MEMORY = 12;

/**
 * The limiter of an upstream: the number in flight that it can use, the budgets that are configured or that its headers tell
 * of, and a pause for everybody until Retry-After when most requests are refused.
 */
export function createUpstreamLimiter({
  limiter,
  maxInFlight,
  requestTimeoutMs,
  tokensPerMinute = null,
  maxWaitMs,
  monotonicMs = () => performance.now(),
}: UpstreamLimiterOptions): Limiter {
  const control: ConcurrencyControl =
    limiter === 'fixed'
      ? createFixedControl(maxInFlight)
      : createConcurrencyControl({ maxInFlight, monotonicMs, ...(requestTimeoutMs === undefined ? {} : { requestTimeoutMs }) });
  const budget = createSendBudget({ tokensPerMinute, maxWaitMs });
  const refusing = createRefusalCount({ memory: REFUSAL_MEMORY });
  let pausedUntilMs = 0;

  function heed(seen: Observation): void {
    if (seen.kind !== 'overload' || seen.retryAfterMs === null || !refusing.isMost) return;
    pausedUntilMs = Math.max(pausedUntilMs, monotonicMs() + Math.min(seen.retryAfterMs, maxWaitMs));
  }

  /** Whatever goes out counts, probes too. */
  function watch(learn: (seen: Observation) => void): (seen: Observation) => void {
    const sentMs = monotonicMs();
    const request = budget.sent(sentMs);
    const count = refusing.sent(sentMs);
    return (seen) => {
      const nowMs = monotonicMs();
      learn(seen);
      budget.seen(request, seen, nowMs);
      count(seen, nowMs);
      heed(seen);
    };
  }

  return createLimiter({
    get limit() {
      return control.limit;
    },
    get reach() {
      return control.reach;
    },
    refusing,
    waitMs() {
      const nowMs = monotonicMs();
      return Math.max(Math.ceil(pausedUntilMs - nowMs), refusing.waitMs(nowMs), budget.waitMs(nowMs), 0);
    },
    sent: (inFlight) => watch(control.sent(inFlight)),
    probed: () => watch(control.probed()),
  });
}

function createFixedControl(limit: number): ConcurrencyControl {
  const nothing = () => () => undefined;
  return { limit, reach: limit, sent: nothing, probed: nothing };
}
