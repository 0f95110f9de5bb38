import type { Observation } from './observation.ts';

/** How many of the latest requests an upstream has refused, in the order in which they went out. */
export interface Refusing {
  /** Whether it is most of them: then a refusal is for everybody, otherwise for its request alone. */
  readonly isMost: boolean;
  /** Requests refused since the last one that was taken. */
  readonly inARow: number;
}

/**
 * Counts what is refused. Refusals come at once and answers late, so that after a burst nothing but refusals has come back: a
 * request counts as taken as soon as it has lasted for longer than refusals do.
 */
export interface RefusalCount extends Refusing {
  readonly share: number;
  /** Requests of which it is known what became, and those of them that were refused. */
  readonly counted: number;
  readonly refused: number;
  /**
   * Milliseconds until the next one may go out. After most were refused they go one by one, each when it is known what became of the
   * last, and one more together for each that is taken: all at once would be refused at once.
   */
  waitMs(nowMs: number): number;
  /** Forgets the share, when something was done about it. */
  reset(): void;
  /** Notes a request that goes out; answers what becomes of what is seen of it. Times are monotonic. */
  sent(nowMs: number): (seen: Observation, nowMs: number) => void;
}

interface Sent {
  sentMs: number;
  verdict: 'refused' | 'taken' | 'none' | null;
}

const MOST = 0.5;
/** A request has lasted for longer than refusals do when it has lasted this many times as long as they take on average. */
const LONGER = 2;
/** What a refusal is expected to take before there was one. */
const UNKNOWN_REFUSAL_MS = 100;
const SHARE_OF_NEWEST = 0.1;

/** Nothing sent. As many of the latest requests as `memory` weigh as much as all before them. */
export function createRefusalCount({ memory }: { memory: number }): RefusalCount {
  /** Not counted yet, the oldest first: one that is open holds up all that went out after it. */
  const uncounted = new Set<Sent>();
  let [share, inARow, counted, refused] = [0, 0, 0, 0];
  let refusalMs: number | null = null;
  /** How many may be out of which it is not known whether they are taken. */
  let most = Infinity;
  const knownAfterMs = () => LONGER * (refusalMs ?? UNKNOWN_REFUSAL_MS);

  function count(nowMs: number): void {
    for (const request of uncounted) {
      if (request.verdict === null && nowMs - request.sentMs < knownAfterMs()) return;
      uncounted.delete(request);
      counted += 1;
      if (request.verdict === 'none') continue;
      const isRefused = request.verdict === 'refused';
      share += ((isRefused ? 1 : 0) - share) / memory;
      inARow = isRefused ? inARow + 1 : 0;
      if (isRefused) refused += 1;
      if (!isRefused) most += 1;
      else if (share >= MOST) most = 1;
    }
  }

  return {
    get share() {
      return share;
    },
    get counted() {
      return counted;
    },
    get refused() {
      return refused;
    },
    waitMs(nowMs) {
      count(nowMs);
      if (uncounted.size < most) return 0;
      const [oldest] = uncounted;
      return oldest === undefined ? 0 : Math.ceil(oldest.sentMs + knownAfterMs() - nowMs);
    },
    reset() {
      share = 0;
    },
    get isMost() {
      return share >= MOST;
    },
    get inARow() {
      return inARow;
    },
    sent(sentMs) {
      const request: Sent = { sentMs, verdict: null };
      count(sentMs);
      uncounted.add(request);
      return (seen, nowMs) => {
        // A server with connections enough takes no more of them.
        const isRefused = seen.kind === 'overload' || seen.kind === 'unavailable';
        const ms = nowMs - sentMs;
        if (seen.kind === 'overload') refusalMs = refusalMs === null ? ms : refusalMs + (ms - refusalMs) * SHARE_OF_NEWEST;
        request.verdict = isRefused ? 'refused' : seen.kind === 'answer' ? 'taken' : 'none';
        // It may have lasted for longer than refusals do, and is one all the same.
        if (isRefused) uncounted.add(request);
        count(nowMs);
      };
    },
  };
}
