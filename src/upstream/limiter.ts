import { onAbort } from './on-abort.ts';
import type { Refusing } from './refusal-count.ts';
import type { RateBudgets } from './rate-headers.ts';

/** How many requests an upstream has in flight from this process, and when the next one may go out. */
export interface Limiter {
  /**
   * Waits for a place, fairly between batches; of one batch the lowest rank goes first, and of one rank who came first.
   * Rejects with the signal's reason when it ends first.
   */
  acquire(batchId: string, signal: AbortSignal, rank?: number): Promise<Permit>;
  /** A place beside all others, at once: for a request that is to find out whether an upstream is back, however many still wait for an answer of it. */
  probe(): Permit;
  readonly inFlight: number;
  readonly limit: number;
  /** What the limit may come to before long. */
  readonly reach: number;
  readonly waiting: number;
  readonly refusing: Refusing;
}

/** A place in flight; `release` exactly once, with what was seen. */
export interface Permit {
  release(seen: Observation): void;
}

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

/** Decides how many may be in flight and when; who of those that wait comes next is decided by `createLimiter`. */
export interface LimiterPolicy {
  /** Places in flight, at least 1. */
  readonly limit: number;
  readonly reach: number;
  readonly refusing: Refusing;
  /** Milliseconds until the next request may go out; 0 for now. */
  waitMs(): number;
  /** One goes out, the `inFlight`th at a time; answers what becomes of what is seen of it. */
  sent(inFlight: number): (seen: Observation) => void;
  /** The same for a probe, which goes out beside the limit. */
  probed(): (seen: Observation) => void;
}

/** A limiter with a fixed number of places. */
export function createFixedLimiter({ maxInFlight }: { maxInFlight: number }): Limiter {
  return createLimiter({
    limit: maxInFlight,
    reach: maxInFlight,
    refusing: { isMost: false, inARow: 0 },
    waitMs: () => 0,
    sent: () => () => undefined,
    probed: () => () => undefined,
  });
}

interface Waiting {
  rank: number;
  take(permit: Permit): void;
}

/**
 * Hands out the places of a policy. Waiting batches take turns, so that one line of a small batch does not wait for all
 * lines of a large one.
 */
export function createLimiter(policy: LimiterPolicy): Limiter {
  // In the order in which batches take their next turn; each holds its waiting requests, the next one first.
  const turns = new Map<string, Waiting[]>();
  let [inFlight, waiting] = [0, 0];
  let timer: NodeJS.Timeout | null = null;

  function permit(isProbe = false): Permit {
    inFlight += 1;
    const learn = isProbe ? policy.probed() : policy.sent(inFlight);
    let released = false;
    return {
      release(seen) {
        if (released) throw new Error('a place in flight was released twice');
        released = true;
        inFlight -= 1;
        learn(seen);
        giveOut();
      },
    };
  }

  /** Gives free places to whoever is next; comes back by itself when it is time that is lacking, and not a place. */
  function giveOut(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    while (waiting > 0 && inFlight < policy.limit) {
      const waitMs = policy.waitMs();
      if (waitMs > 0) {
        timer = setTimeout(giveOut, waitMs);
        return;
      }
      giveToNext();
    }
  }

  function giveToNext(): void {
    const [turn] = turns;
    if (turn === undefined) return;
    const [batchId, requests] = turn;
    const next = requests.shift();
    if (turns.size > 1 || requests.length === 0) turns.delete(batchId);
    if (requests.length > 0) turns.set(batchId, requests);
    if (next === undefined) return giveToNext();
    waiting -= 1;
    next.take(permit());
  }

  function leave(batchId: string, request: Waiting): void {
    const requests = turns.get(batchId) ?? [];
    requests.splice(requests.indexOf(request), 1);
    if (requests.length === 0) turns.delete(batchId);
    waiting -= 1;
    // Nobody is left to wake: a timer would only keep the process.
    if (waiting === 0) giveOut();
  }

  return {
    async acquire(batchId, signal, rank = 0) {
      signal.throwIfAborted();
      if (waiting === 0 && inFlight < policy.limit && policy.waitMs() === 0) return permit();
      return await new Promise((resolve, reject) => {
        const request: Waiting = {
          rank,
          take(place) {
            forget();
            resolve(place);
          },
        };
        const forget = onAbort(signal, () => {
          leave(batchId, request);
          reject(signal.reason);
        });
        const requests = turns.get(batchId) ?? [];
        turns.set(batchId, requests);
        const last = requests.at(-1);
        if (last === undefined || last.rank <= rank) requests.push(request);
        else
          requests.splice(
            requests.findIndex((other) => other.rank > rank),
            0,
            request,
          );
        waiting += 1;
        if (timer === null) giveOut();
      });
    },
    probe: () => permit(true),
    get inFlight() {
      return inFlight;
    },
    get limit() {
      return policy.limit;
    },
    get reach() {
      return policy.reach;
    },
    get waiting() {
      return waiting;
    },
    refusing: policy.refusing,
  };
}
