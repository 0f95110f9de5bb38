import type { Observation } from './observation.ts';
import { createOverload } from './overload.ts';
import type { ServerQueue } from './server-metrics.ts';

/** Finds how many requests in flight a server can use, from what is seen of them. */
export interface ConcurrencyControl {
  /** Whole, from 1 to the maximum. */
  readonly limit: number;
  /** What the limit may come to before long: anything while it has not met a queue yet, then what is tried next. */
  readonly reach: number;
  /** Notes a request that goes out as the `inFlight`th; answers what becomes of what is seen of it. Nothing is learnt where it is no evidence. */
  sent(inFlight: number, isEvidence?: boolean): (seen: Observation) => void;
  /** The same for a request that goes out beside the limit, to find out whether the server is back. */
  probed(): (seen: Observation) => void;
  /** The server's own word about its queue. While it is fresh, the limit follows it and no longer the times of answers. */
  told(queue: ServerQueue): void;
}

export interface ConcurrencyControlOptions {
  maxInFlight: number;
  /** Where it begins, and begins again after the server was away. */
  firstInFlight?: number;
  /** Whether `firstInFlight` was the right limit a moment ago. */
  resumes?: boolean;
  /** This worker's part of the limit, above 0 to 1: so many of the requests are seen. */
  share?: () => number;
  /** The limit does not grow while one answer in five takes more than a third of it. */
  requestTimeoutMs?: number;
  monotonicMs?: () => number;
}

const FIRST_IN_FLIGHT = 4;
/** Answers after which the limit changes: as many as are in flight, and at least so many. */
const LEAST_ANSWERS = 16;
/**
 * The time that says whether a queue is there. Every answer waits in a queue equally long, so a queue shows most in the short
 * ones; a server that batches slows all of them down alike, and may.
 */
const QUANTILE = 0.2;
/** A queue is too long when this time is so many times what it is without one. */
const TOO_SLOW = 4;
const SHRINK = 0.8;
/** With fewer in flight there was too little to do, which tells nothing about the limit. */
const FULL = 0.8;
/** Growth, as a share of the limit, but at least 1. */
const GROWTH = 1 / 16;
/** The same where the server says that nothing waits. */
const QUEUE_GROWTH = 1 / 4;
/** What stays slow at a quarter of the limit has grown slow by itself, and is usual from now on. */
const LEAST_SHARE = 1 / 4;
/** Changes after which the usual time is measured again, with more answers than at first, and sooner the first time. */
const [CHANGES_TO_MEASURE, CHANGES_TO_MEASURE_FIRST] = [128, 32];
/** Share of the limit at which it is measured: there no queue is left. */
const MEASURED_SHARE = 1 / 8;
/** So much of what runs may wait, and for so long the server's word is fresh. */
const [WAITING_SHARE, FRESH_MS] = [0.1, 20_000];
/** One answer in five may take so much of the request timeout. */
const TIMEOUT_SHARE = 1 / 3;

type Mode =
  /** Doubling until it meets a queue. */
  | { kind: 'start' }
  | { kind: 'steady' }
  /** Shrinking since it was at `from`. */
  | { kind: 'slow'; from: number }
  /** At few in flight, to learn the usual time. */
  | { kind: 'measure'; back: number };

/**
 * Grows a little while answers are not much slower than without a queue, and shrinks a little when they are. It goes on from
 * answer to answer and by no clock, so a slow server is learnt as surely as a fast one.
 */
export function createConcurrencyControl({
  maxInFlight,
  firstInFlight = FIRST_IN_FLIGHT,
  resumes = false,
  share = () => 1,
  requestTimeoutMs = Number.MAX_VALUE,
  monotonicMs = () => performance.now(),
}: ConcurrencyControlOptions): ConcurrencyControl {
  const first = Math.min(firstInFlight, maxInFlight);
  let [limit, usualMs, changes] = [first, Infinity, CHANGES_TO_MEASURE - (resumes ? 1 : CHANGES_TO_MEASURE_FIRST)];
  let mode: Mode = { kind: resumes ? 'steady' : 'start' };
  let times: number[] = [];
  let open = 0;
  let queue: (ServerQueue & { atMs: number }) | null = null;
  const overload = createOverload({ monotonicMs });
  /** The limit at which too many requests timed out, and for how many more changes the server's word does not lead back there. */
  let timedOut: { limit: number; changes: number } | null = null;

  function go(nextLimit: number, next: Mode): void {
    limit = Math.max(1, Math.min(maxInFlight, nextLimit));
    mode = next;
    times = [];
  }

  function look(): void {
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(share * sorted.length)] ?? 0;
    const ms = at(QUANTILE);
    const isLate = at(0.8) > TIMEOUT_SHARE * requestTimeoutMs;
    if (queue !== null) {
      if (monotonicMs() - queue.atMs < FRESH_MS) return growByQueue(isLate || queue.waiting > 0);
      // The usual time is unknown.
      [queue, mode, usualMs, changes] = [null, { kind: 'steady' }, Infinity, CHANGES_TO_MEASURE];
    }
    changes += 1;
    if (mode.kind === 'measure') {
      // Few answers are seen at so few in flight.
      usualMs = usualMs === Infinity ? ms : Math.sqrt(usualMs * ms);
      return go(mode.back, { kind: 'steady' });
    }
    if (limit <= FIRST_IN_FLIGHT) usualMs = ms;
    else if (mode.kind === 'start') usualMs = Math.min(usualMs, ms);
    if (ms > TOO_SLOW * usualMs) return goSlow(ms);
    if (mode.kind === 'start' || changes < CHANGES_TO_MEASURE || limit <= 2 * FIRST_IN_FLIGHT) return grow(isLate, GROWTH);
    changes = 0;
    go(Math.max(FIRST_IN_FLIGHT, MEASURED_SHARE * limit), { kind: 'measure', back: limit });
  }

  /** A server that works on all requests at once tells no queue, however slow each of them gets: timeouts count for more than its word. */
  function growByQueue(isEnough: boolean): void {
    const most = timedOut === null ? maxInFlight : Math.max(1, timedOut.limit - 1);
    if (timedOut !== null && --timedOut.changes <= 0) timedOut = null;
    grow(isEnough || limit >= most, QUEUE_GROWTH);
    limit = Math.min(limit, most);
  }

  function grow(isEnough: boolean, share: number): void {
    if (isEnough) go(limit, { kind: 'steady' });
    else if (mode.kind === 'start') go(2 * limit, mode);
    else go(limit + Math.max(1, share * limit), { kind: 'steady' });
  }

  function goSlow(ms: number): void {
    const from = mode.kind === 'slow' ? mode.from : limit;
    if (limit > LEAST_SHARE * from) return go(Math.max(LEAST_SHARE * from, SHRINK * limit), { kind: 'slow', from });
    usualMs = ms;
    go(2 * limit, { kind: 'start' });
  }

  function told({ running, waiting }: ServerQueue): void {
    queue = { running, waiting, atMs: monotonicMs() };
    // What was changed must have come into effect.
    if (open / share() > limit || waiting <= Math.max(1, WAITING_SHARE * running)) return;
    // Others who keep a queue of their own must not bring this to a standstill.
    const least = running + waiting > (2 * open) / share() ? FIRST_IN_FLIGHT : 1;
    const next = Math.max(limit - waiting, limit / 2, least);
    if (next < limit) go(next, { kind: 'steady' });
  }

  function sent(inFlight: number, isEvidence = true): (seen: Observation) => void {
    const sentAt = limit;
    const isFull = inFlight >= FULL * limit;
    open += 1;
    if (!isEvidence) return () => void (open -= 1);
    const judge = overload.sent(limit, inFlight);
    return (seen) => {
      open -= 1;
      const next = judge(seen, limit);
      if (next !== null) {
        if (seen.kind === 'timeout') timedOut = { limit: sentAt, changes: CHANGES_TO_MEASURE_FIRST };
        return go(next, { kind: 'steady' });
      }
      // What went out at a higher limit does not speak about this one.
      if (!isFull || sentAt > limit) return;
      if (seen.kind === 'answer' && seen.ms !== null) times.push(seen.ms);
      else if (seen.kind === 'timeout') times.push(Infinity);
      if (times.length >= Math.max(LEAST_ANSWERS, limit * share())) look();
    };
  }

  function probed(): (seen: Observation) => void {
    return (seen) => {
      // It is away, and nobody knows what it can do when it is back.
      if (seen.kind === 'unavailable') go(Math.min(limit, first), { kind: 'start' });
    };
  }

  return {
    get limit() {
      return Math.round(limit);
    },
    get reach() {
      return mode.kind === 'start' ? maxInFlight : Math.min(maxInFlight, Math.ceil(1.5 * limit));
    },
    sent,
    probed,
    told,
  };
}
