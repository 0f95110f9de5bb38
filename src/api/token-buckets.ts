/** A rate that each tenant has for itself, counted in this process. */
export interface TokenBuckets {
  /** Takes one; answers how long to wait for the next one instead when there is none, in milliseconds. */
  take(tenant: string): { granted: true; left: number } | { granted: false; waitMs: number };
  /** Gives back what was taken for something that did not come about. */
  giveBack(tenant: string): void;
}

/**
 * One bucket per tenant: `count` may come at once and refill evenly within `perMs`. Tenants come from the configuration, so
 * there are few of them.
 */
export function createTokenBuckets({
  count,
  perMs,
  monotonicMs,
}: {
  count: number;
  perMs: number;
  monotonicMs: () => number;
}): TokenBuckets {
  const buckets = new Map<string, { tokens: number; atMs: number }>();

  function refilled(tenant: string) {
    const now = monotonicMs();
    const bucket = buckets.get(tenant) ?? { tokens: count, atMs: now };
    buckets.set(tenant, bucket);
    bucket.tokens = Math.min(count, bucket.tokens + ((now - bucket.atMs) / perMs) * count);
    bucket.atMs = now;
    return bucket;
  }

  return {
    take(tenant) {
      const bucket = refilled(tenant);
      if (bucket.tokens < 1) return { granted: false, waitMs: ((1 - bucket.tokens) / count) * perMs };
      bucket.tokens -= 1;
      return { granted: true, left: Math.floor(bucket.tokens) };
    },
    giveBack(tenant) {
      const bucket = refilled(tenant);
      bucket.tokens = Math.min(count, bucket.tokens + 1);
    },
  };
}
