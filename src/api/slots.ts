import { setTimeout as delay } from 'node:timers/promises';
import { rateLimited, tooBusy } from './errors/limit-errors.ts';
import type { ApiError } from './errors/api-error.ts';

/** Bounds how many requests of one kind are served at a time, because each holds memory until its client has read the answer. */
export interface Slots {
  /**
   * Waits for a slot and answers what gives it back. Throws the 429 when the tenant has too many requests waiting or has waited too
   * long, the 503 when the process as a whole is full, and the signal's reason when that ends first.
   */
  enter(tenant: string, signal: AbortSignal): Promise<() => void>;
}

export interface SlotBounds {
  /** How the 429 calls what is bounded, like `32 downloads at a time`. */
  what: string;
  perTenant: number;
  total: number;
  /** Requests of a tenant that may wait. */
  maxWaiting: number;
  maxWaitMs: number;
}

interface Waiter {
  tenant: string;
  go: () => void;
}

/** No slot is taken yet. Waiting requests go in the order they came in, those of a tenant that is full being passed over. */
export function createSlots({ what, perTenant, total, maxWaiting, maxWaitMs }: SlotBounds): Slots {
  const taken = new Map<string, number>();
  const waiting = new Set<Waiter>();
  let all = 0;

  const takenBy = (tenant: string) => taken.get(tenant) ?? 0;
  const hasCapacity = (tenant: string) => all < total && takenBy(tenant) < perTenant;

  function take(tenant: string): () => void {
    taken.set(tenant, takenBy(tenant) + 1);
    all += 1;
    let isBack = false;
    return () => {
      if (isBack) return;
      isBack = true;
      all -= 1;
      if (takenBy(tenant) === 1) taken.delete(tenant);
      else taken.set(tenant, takenBy(tenant) - 1);
      for (const waiter of waiting) {
        if (!hasCapacity(waiter.tenant)) continue;
        waiting.delete(waiter);
        waiter.go();
        return;
      }
    };
  }

  return {
    async enter(tenant, signal) {
      signal.throwIfAborted();
      if (hasCapacity(tenant)) return take(tenant);
      const isTenantFull = takenBy(tenant) >= perTenant;
      const waitingOfTenant = [...waiting].filter((waiter) => waiter.tenant === tenant).length;
      if (waitingOfTenant >= maxWaiting) throw refused(isTenantFull);
      const { promise, resolve } = Promise.withResolvers<() => void>();
      const waiter = { tenant, go: () => resolve(take(tenant)) };
      waiting.add(waiter);
      const over = new AbortController();
      try {
        const late = delay(maxWaitMs, null, { signal: AbortSignal.any([signal, over.signal]) });
        const leave = await Promise.race([promise, late]);
        if (leave === null) throw refused(isTenantFull);
        return leave;
      } catch (error) {
        // It may have been given a slot at the very moment at which it gave up.
        if (!waiting.delete(waiter)) (await promise)();
        signal.throwIfAborted();
        throw error;
      } finally {
        over.abort();
      }
    },
  };

  function refused(isTenantFull: boolean): ApiError {
    const seconds = Math.ceil(maxWaitMs / 1000);
    return isTenantFull ? rateLimited(what, seconds) : tooBusy(seconds);
  }
}
