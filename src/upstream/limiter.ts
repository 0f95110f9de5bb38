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
  /** `answered` tells a status or a malformed answer from a reset or a timeout: somebody is there. */
  | { kind: 'fault'; answered: boolean }
  | { kind: 'unavailable' }
  /** Nothing was learnt: the request was aborted. */
  | { kind: 'ignored' };

/**
 * A limiter with a fixed number of places. Waiting batches take turns, so that one line of a small batch does not wait for
 * all lines of a large one.
 */
export function createFixedLimiter({ maxInFlight }: { maxInFlight: number }): Limiter {
  // In the order in which batches take their next turn; each holds its waiting requests, first come first.
  const turns = new Map<string, Set<(permit: Permit) => void>>();
  let [inFlight, waiting] = [0, 0];

  function permit(): Permit {
    let released = false;
    return {
      release() {
        if (released) throw new Error('a place in flight was released twice');
        released = true;
        if (!giveToNext()) inFlight -= 1;
      },
    };
  }

  function giveToNext(): boolean {
    const [turn] = turns;
    if (turn === undefined) return false;
    const [batchId, requests] = turn;
    const [next] = requests;
    turns.delete(batchId);
    if (next === undefined) return giveToNext();
    requests.delete(next);
    if (requests.size > 0) turns.set(batchId, requests);
    waiting -= 1;
    next(permit());
    return true;
  }

  return {
    async acquire(batchId, signal) {
      signal.throwIfAborted();
      if (inFlight < maxInFlight) {
        inFlight += 1;
        return permit();
      }
      return await new Promise((resolve, reject) => {
        const requests = turns.get(batchId) ?? new Set();
        turns.set(batchId, requests);
        const take = (place: Permit) => {
          signal.removeEventListener('abort', leave);
          resolve(place);
        };
        const leave = () => {
          requests.delete(take);
          if (requests.size === 0 && turns.get(batchId) === requests) turns.delete(batchId);
          waiting -= 1;
          reject(signal.reason);
        };
        signal.addEventListener('abort', leave, { once: true });
        requests.add(take);
        waiting += 1;
      });
    },
    get inFlight() {
      return inFlight;
    },
    get limit() {
      return maxInFlight;
    },
    get waiting() {
      return waiting;
    },
  };
}
