import type { ConcurrencyControl } from './concurrency-control.ts';

/** What the workers of a server know together. One of them, the holder, finds the limit for all. */
export interface SharedLimit {
  /** Requests in flight from all workers together. */
  limit: number;
  holder: string;
  /** By worker. `beats` changes while it lives; `demand` is what it has in flight and what waits for a place. */
  workers: Readonly<Record<string, { beats: number; demand: number }>>;
}

/** Where it is kept. Both reject when that is away. */
export interface SharedLimitPort {
  read(): Promise<{ value: SharedLimit; tag: string } | null>;
  /** Writes if nothing was written since, `tag` null for nothing there; answers whether it did. */
  write(value: SharedLimit, tag: string | null): Promise<boolean>;
}

/** The limit of one worker: its part of the shared one. */
export interface LimitShare {
  control: ConcurrencyControl;
  /** What is to be written, given what stands there. */
  next(found: SharedLimit | null): SharedLimit;
  /** That was written, and holds from now on. */
  adopt(written: SharedLimit): void;
  /** What is to be written when this worker ends; null when it does not stand there. */
  without(found: SharedLimit | null): SharedLimit | null;
}

export interface LimitShareOptions {
  /** Different for each worker process. */
  id: string;
  /** A control for the shared limit. `from` is where it begins, `resumes` whether it was found a moment ago; `share` tells this worker's part of it. */
  createControl: (given: { from: number | null; resumes: boolean; share: () => number }) => ConcurrencyControl;
  demand: () => number;
  monotonicMs: () => number;
}

/** How often workers exchange what they know. */
export const EXCHANGE_MS = 3_000;
/** A worker that has written nothing for so long is gone. */
const GONE_MS = 12_000;
/** After a change of the limit: until all workers know of it. */
const SETTLE_MS = 1.25 * EXCHANGE_MS;

/**
 * Begins for itself. From the first exchange on, the shared limit counts; when exchanges fail, the last part does. Times are
 * compared on this worker's clock only.
 */
export function createLimitShare({ id, createControl, demand, monotonicMs }: LimitShareOptions): LimitShare {
  let state: SharedLimit | null = null;
  let [part, beats, settledAtMs] = [1, 0, -Infinity];
  const seen = new Map<string, { beats: number; atMs: number; lived: boolean }>();
  const share = () => (state === null || isAlone() ? 1 : Math.min(1, part / state.limit));
  let inner = createControl({ from: null, resumes: false, share });

  const isHolder = () => state === null || state.holder === id;
  const isAlone = () => state === null || Object.keys(state.workers).length === 1;
  const isSettled = () => isAlone() || (inner.limit === state?.limit && monotonicMs() >= settledAtMs);

  function isAlive(worker: string, { beats: found }: { beats: number }): boolean {
    const nowMs = monotonicMs();
    const known = seen.get(worker);
    if (known?.beats === found) return nowMs - known.atMs < GONE_MS;
    seen.set(worker, { beats: found, atMs: nowMs, lived: known !== undefined });
    return true;
  }

  /** The holder that is there, unless it has nothing to do and learns nothing. */
  function holderOf(found: SharedLimit, workers: SharedLimit['workers']): string {
    const holder = workers[found.holder];
    return holder === undefined || (holder.demand === 0 && demand() > 0) ? id : found.holder;
  }

  return {
    control: {
      get limit() {
        return isAlone() && isHolder() ? inner.limit : part;
      },
      get reach() {
        return isHolder() ? Math.max(part, Math.ceil(inner.reach * share())) : Math.ceil(1.5 * part);
      },
      sent: (inFlight) => (isHolder() ? inner.sent(inFlight / share(), isSettled()) : () => undefined),
      probed: () => (isHolder() ? inner.probed() : () => undefined),
      told(queue) {
        if (isHolder() && isSettled()) inner.told(queue);
      },
    },

    next(found) {
      const others = Object.entries(found?.workers ?? {}).filter(([worker, entry]) => worker !== id && isAlive(worker, entry));
      const workers = { ...Object.fromEntries(others), [id]: { beats: (beats += 1), demand: demand() } };
      const holder = found === null ? id : holderOf(found, workers);
      if (found !== null && holder === id && (state === null || state.holder !== id)) {
        // What nobody was seen to work with is only remembered.
        const resumes = seen.get(found.holder)?.lived === true;
        inner = createControl({ from: resumes ? found.limit : Math.ceil(found.limit / 2), resumes, share });
      }
      return { limit: holder === id ? inner.limit : (found?.limit ?? inner.limit), holder, workers };
    },

    adopt(written) {
      if (written.limit !== state?.limit) settledAtMs = monotonicMs() + SETTLE_MS;
      state = written;
      part = partsOf(written).get(id) ?? 1;
    },

    without(found) {
      if (found?.workers[id] === undefined) return null;
      const { [id]: _, ...workers } = found.workers;
      return { ...found, workers };
    },
  };
}

/** The part of each worker: what it can use, or an equal share if that is less; what nobody can use is divided. At least 1. */
export function partsOf({ limit, workers }: SharedLimit): Map<string, number> {
  const byDemand = Object.entries(workers).sort(([a, { demand: x }], [b, { demand: y }]) => x - y || (a < b ? -1 : 1));
  const parts = new Map<string, number>();
  let left = limit;
  for (const [at, [worker, { demand }]] of byDemand.entries()) {
    const part = Math.max(1, Math.min(demand, Math.floor(left / (byDemand.length - at))));
    parts.set(worker, part);
    left = Math.max(0, left - part);
  }
  for (const [at, worker] of [...parts.keys()].reverse().entries())
    parts.set(worker, (parts.get(worker) ?? 1) + Math.floor((left + at) / parts.size));
  return parts;
}

/** One exchange with what the others know. When another worker writes at the same time, the next one comes to it. */
export async function exchangeLimit(port: SharedLimitPort, share: LimitShare): Promise<void> {
  const found = await port.read();
  const next = share.next(found?.value ?? null);
  if (await port.write(next, found?.tag ?? null)) share.adopt(next);
}
