import { type ConcurrencyControl, createConcurrencyControl } from './concurrency-control.ts';
import { createLimiter, type Limiter, type Observation } from './limiter.ts';
import { createSendBudget } from './send-budget.ts';

export interface UpstreamLimiterOptions {
  /** `adaptive` finds the number in flight up to `maxInFlight`; `fixed` keeps it there. */
  limiter: 'adaptive' | 'fixed';
  /** Most requests in flight from this process. */
  maxInFlight: number;
  /** Tokens this process may use per minute; null when only the upstream's own headers count. */
  tokensPerMinute?: number | null;
  /** Longest wait at a time that headers of an upstream can bring about; a budget that is used up is looked at again after it. */
  maxWaitMs: number;
  /** Monotonic. */
  monotonicMs?: () => number;
}

/** Share of refusals among the latest observations from which a Retry-After is heeded by everybody. */
const MANY_REFUSALS = 0.25;
const REFUSAL_MEMORY = 8;

/**
 * The limiter of an upstream: the number in flight that it can use, the budgets that are configured or that its headers tell
 * of, and a pause for everybody until Retry-After when refusals are more than a few.
 */
export function createUpstreamLimiter({
  limiter,
  maxInFlight,
  tokensPerMinute = null,
  maxWaitMs,
  monotonicMs = () => performance.now(),
}: UpstreamLimiterOptions): Limiter {
  const control: ConcurrencyControl = limiter === 'fixed' ? createFixedControl(maxInFlight) : createConcurrencyControl({ maxInFlight });
  const budget = createSendBudget({ tokensPerMinute, maxWaitMs });
  let refusalShare = 0;
  let pausedUntilMs = 0;

  function heed(seen: Observation): void {
    if (seen.kind !== 'answer' && seen.kind !== 'overload') return;
    refusalShare += ((seen.kind === 'overload' ? 1 : 0) - refusalShare) / REFUSAL_MEMORY;
    if (seen.kind !== 'overload' || seen.retryAfterMs === null || refusalShare < MANY_REFUSALS) return;
    pausedUntilMs = Math.max(pausedUntilMs, monotonicMs() + Math.min(seen.retryAfterMs, maxWaitMs));
  }

  return createLimiter({
    get limit() {
      return control.limit;
    },
    waitMs() {
      const nowMs = monotonicMs();
      return Math.max(Math.ceil(pausedUntilMs - nowMs), budget.waitMs(nowMs), 0);
    },
    sent(inFlight) {
      const learn = control.sent(inFlight);
      const request = budget.sent(monotonicMs());
      return (seen) => {
        learn(seen);
        budget.seen(request, seen, monotonicMs());
        heed(seen);
      };
    },
    probed() {
      const learn = control.probed();
      const request = budget.sent(monotonicMs());
      return (seen) => {
        learn(seen);
        budget.seen(request, seen, monotonicMs());
      };
    },
  });
}

function createFixedControl(limit: number): ConcurrencyControl {
  const nothing = () => () => undefined;
  return { limit, sent: nothing, probed: nothing };
}
