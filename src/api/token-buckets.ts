/** A rate that each tenant has for itself, counted in this process. */
export interface TokenBuckets {
  /** Takes one of `count` per period, which may change; answers how long to wait for the next one instead when there is none, in milliseconds. */
  take(tenant: string, count: number): { granted: true; left: number } | { granted: false; waitMs: number };
  /** Gives back what was taken for something that did not come about. */
  giveBack(tenant: string): void;
}

/**
 * One bucket per tenant: `count` may come at once and refill evenly within `perMs`. A count that is raised adds the difference at once.
 * Tenants come from the configuration, so there are few of them.
 */
export function createTokenBuckets({ perMs, monotonicMs }: { perMs: number; monotonicMs: () => number }): TokenBuckets {
  const buckets = new Map<string, { tokens: number; atMs: number; count: number }>();

  function refilled(tenant: string, count: number) {
    const now = monotonicMs();
    const bucket = buckets.get(tenant) ?? { tokens: count, atMs: now, count };
    buckets.set(tenant, bucket);
    const raisedBy = Math.max(0, count - bucket.count);
    bucket.tokens = Math.min(count, bucket.tokens + raisedBy + ((now - bucket.atMs) / perMs) * count);
    bucket.atMs = now;
    bucket.count = count;
    return bucket;
  }

  return {
    take(tenant, count) {
      const bucket = refilled(tenant, count);
      if (bucket.tokens < 1) return { granted: false, waitMs: ((1 - bucket.tokens) / count) * perMs };
      bucket.tokens -= 1;
      return { granted: true, left: Math.floor(bucket.tokens) };
    },
    giveBack(tenant) {
      const bucket = buckets.get(tenant);
      if (bucket !== undefined) bucket.tokens = Math.min(bucket.count, bucket.tokens + 1);
    },
  };
}
