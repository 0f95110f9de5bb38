import type { Observation } from './observation.ts';
import { createRefusalCount } from './refusal-count.ts';

/** Tells when a server has too much to do, from requests that it refuses or does not answer in time. */
export interface Overload {
  /** Notes the `inFlight`th request that goes out at this limit; answers what becomes of what is seen of it: the limit to go to, or null. */
  sent(limit: number, inFlight: number): (seen: Observation, limit: number) => number | null;
}

/** What became of the requests that went out one after the other at one limit. */
interface Sample {
  /** Of them, refused. */
  share: number;
  /** Requests taken per millisecond. */
  rate: number;
}

/** Share of refusals that counts as too much load: a few come whatever the load. */
const MANY_REFUSALS = 0.25;
/** Requests of a sample, per place and at most. */
const [SAMPLE, MAX_SAMPLE] = [2, 32];
const SHRINK = 0.8;
/** A shrink has helped if it has lowered the share of refusals by a third. */
const LOWERED = 2 / 3;
/** At this share of the first limit it is asked what shrinking costs: it is undone if less than this share of the requests is taken. */
const LEAST_TRIED = 0.25;
const KEPT = 0.6;
/** Weight of the newest sample in the share that is tolerated, and the least that is. */
const NEWEST = 0.3;
const LEAST_TOLERATED = 0.125;
const MANY_TIMEOUTS = 0.1;
const TIMEOUT_MEMORY = 20;

/** Nothing sent. `monotonicMs` tells how long a refusal takes. */
export function createOverload({ monotonicMs }: { monotonicMs: () => number }): Overload {
  const refusals = createRefusalCount();
  let [sentCount, timedOut, from] = [0, 0, 0];
  let sample: { counted: number; refused: number; sinceMs: number; used: number } | null = null;
  /** Where shrinking began; null while few are refused. */
  let first: { used: number; at: Sample | null } | null = null;
  /** A share of refusals that shrinking did not lower. */
  let tolerated = 0;

  const bearable = () => Math.max(MANY_REFUSALS, 2 * tolerated);

  function look(inFlight: number): number | null {
    const { counted, refused } = refusals;
    if (counted < from) return null;
    sample ??= { counted, refused, sinceMs: monotonicMs(), used: 0 };
    const used = (sample.used = Math.max(sample.used, inFlight));
    const count = counted - sample.counted;
    const share = (refused - sample.refused) / count;
    const size = Math.min(MAX_SAMPLE, SAMPLE * used + 4);
    // The first one is over as soon as it is clear how it ends.
    const isClear = first === null && share * count > size * bearable();
    if (count < size && !isClear) return null;
    const rate = (count * (1 - share)) / Math.max(1, monotonicMs() - sample.sinceMs);
    sample = null;
    const next = judge({ share, rate }, used);
    // What is on its way went out at another limit.
    if (next !== null) from = sentCount;
    return next;
  }

  function judge(seen: Sample, used: number): number | null {
    const isMany = seen.share > bearable();
    if (tolerated > 0) tolerated += NEWEST * (seen.share - tolerated);
    if (tolerated < LEAST_TOLERATED) tolerated = 0;
    if (!isMany) {
      first = null;
      return null;
    }
    // The sample after the first shrink is the first one without anything from before.
    if (first !== null) first.at ??= seen;
    const isLower = first !== null && first.at !== null && seen.share < LOWERED * first.at.share;
    if (first === null || isLower || (used <= LEAST_TRIED * first.used && seen.rate > KEPT * (first.at?.rate ?? 0))) {
      first = { used, at: null };
      if (used > 1) return Math.floor(used * SHRINK);
    }
    const least = Math.max(1, Math.floor(first.used * LEAST_TRIED));
    if (used > least) return Math.max(least, Math.floor(used * SHRINK));
    const back = first.used;
    [first, tolerated] = [null, seen.share];
    return back;
  }

  return {
    sent(sentAt, inFlight) {
      sentCount += 1;
      const count = refusals.sent(monotonicMs());
      return (seen, limit) => {
        count(seen, monotonicMs());
        // What went out at a higher limit says nothing about this one.
        if (sentAt > limit) return null;
        if (seen.kind === 'answer' || seen.kind === 'timeout') timedOut += ((seen.kind === 'timeout' ? 1 : 0) - timedOut) / TIMEOUT_MEMORY;
        if (seen.kind !== 'timeout') return look(Math.min(limit, inFlight));
        if (timedOut <= MANY_TIMEOUTS || limit === 1) return null;
        timedOut = 0;
        return Math.floor(limit / 2);
      };
    },
  };
}
