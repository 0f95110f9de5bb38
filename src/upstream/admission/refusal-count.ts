import type { Observation } from './observation.ts';

/**
 * Counts what is refused, in the order in which requests went out. Refusals come at once and answers late, so that after a burst nothing
 * but refusals has come back: a request counts as taken as soon as it has lasted for longer than refusals do.
 */
export interface RefusalCount {
  /** Requests of which it is known what became, and those of them that were refused. */
  readonly counted: number;
  readonly refused: number;
  /** Notes a request that goes out; answers what becomes of what is seen of it. Times are monotonic. */
  sent(nowMs: number): (seen: Observation, nowMs: number) => void;
}

interface Sent {
  sentMs: number;
  isRefused: boolean | null;
}

/** A request has lasted for longer than refusals do when it has lasted this many times as long as they take on average. */
const LONGER = 2;
/** What a refusal is expected to take before there was one. */
const UNKNOWN_REFUSAL_MS = 100;
const SHARE_OF_NEWEST = 0.1;

/** Nothing sent. */
export function createRefusalCount(): RefusalCount {
  /** Not counted yet, the oldest first: one that is open holds up all that went out after it. */
  const uncounted = new Set<Sent>();
  let [counted, refused] = [0, 0];
  let refusalMs: number | null = null;

  function count(nowMs: number): void {
    for (const request of uncounted) {
      if (request.isRefused === null && nowMs - request.sentMs < LONGER * (refusalMs ?? UNKNOWN_REFUSAL_MS)) return;
      uncounted.delete(request);
      counted += 1;
      if (request.isRefused === true) refused += 1;
    }
  }

  return {
    get counted() {
      return counted;
    },
    get refused() {
      return refused;
    },
    sent(sentMs) {
      const request: Sent = { sentMs, isRefused: null };
      count(sentMs);
      uncounted.add(request);
      return (seen, nowMs) => {
        // A server with connections enough takes no more of them.
        request.isRefused = seen.kind === 'overload' || seen.kind === 'unavailable';
        const ms = nowMs - sentMs;
        if (seen.kind === 'overload') refusalMs = refusalMs === null ? ms : refusalMs + (ms - refusalMs) * SHARE_OF_NEWEST;
        // It may have lasted for longer than refusals do, and is one all the same.
        if (request.isRefused) uncounted.add(request);
        count(nowMs);
      };
    },
  };
}
