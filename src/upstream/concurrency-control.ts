import type { Observation } from './limiter.ts';
import { createRefusalCount } from './refusal-count.ts';
import { type Cohort, createCohort, elasticity, type Level, type Care } from './latency-cohort.ts';

/**
 * Finds how many requests in flight an upstream can use, from what is seen of them. It goes on from one cohort of requests to
 * the next and by no clock, so a slow upstream is learnt as surely as a fast one.
 */
export interface ConcurrencyControl {
  /** Whole, from 1 to the maximum. */
  readonly limit: number;
  /** What the limit may come to before long: anything while it has not met a level yet, then what is tried next. */
  readonly reach: number;
  /** Notes a request that goes out as the `inFlight`th; answers what becomes of what is seen of it. */
  sent(inFlight: number): (seen: Observation) => void;
  /** The same for a request that goes out beside the limit, to find out whether the upstream is back. */
  probed(): (seen: Observation) => void;
}

export interface ConcurrencyControlOptions {
  maxInFlight: number;
  /** Where it begins, and begins again after the upstream was away. */
  firstInFlight?: number;
  /** Tells how long a refusal takes. */
  monotonicMs?: () => number;
}

type Phase =
  /** Growing at a glance, for as long as nothing seems wrong. `doubt` is what a first look at this level and the one below found. */
  | { kind: 'leap'; below: Level | null; doubt: { below: Level; here: Level } | null }
  /** Growing, as long as more in flight gets more done than at the level below. */
  | { kind: 'climb'; below: Level | null; factor: number }
  /** Staying, and learning what is usual here; `slow` counts cohorts in a row that were slower. */
  | { kind: 'hold'; usual: Level | null; cohorts: number; slow: number }
  /** Trying whether less in flight gets as much done. */
  | { kind: 'dip'; above: Level; factor: number };

const FIRST_IN_FLIGHT = 16;
/**
 * Share of a growth in flight that may go into waiting. Latency that grows as fast as the number in flight (1) means that
 * nothing more gets done; servers that batch slow down a little long before.
 */
const USEFUL_ELASTICITY = 0.7;
/** The same where few answers were looked at: with less, one glance in ten at an upstream with room would see a queue. */
const DOUBTFUL_ELASTICITY = 0.85;
const START_FACTOR = 2;
const PROBE_FACTOR = 1.5;
const DIP_FACTOR = 1.4;
/** After a dip: a little more than can be served at once, so that no place is ever empty. */
const HEADROOM = 1.1;
const SLOWER = 1.3;
/** Slower by this, one cohort is enough. */
const MUCH_SLOWER = 2;
/** However much slower: what has grown slow by itself, whatever the load, is not for fewer in flight to cure. */
const MAX_DIP_FACTOR = 4;
const MIN_PATIENCE = 2;
const MAX_PATIENCE = 8;
/** Cohorts after which a level is checked although nothing seems wrong: soon, and less often each time that it was right. */
const MIN_CHECK_COHORTS = 16;
/** By so much later at the maximum, which somebody has thought of. */
const LATER_AT_MAX = 2;
const MAX_CHECK_COHORTS = 256;
/** A dip that finds this share of the level of use has found the level right. */
const CONFIRMED = 0.9;
const OVERLOAD_FACTOR = 0.8;
/** Share of refusals, or of faults, among the latest requests that counts as too much load: a few come whatever the load. */
const MANY_REFUSALS = 0.25;
const MANY_FAULTS = 0.2;
const REFUSAL_MEMORY = 24;
const FAULT_MEMORY = 20;

/** Begins modestly. */
export function createConcurrencyControl({
  maxInFlight,
  firstInFlight = FIRST_IN_FLIGHT,
  monotonicMs = () => performance.now(),
}: ConcurrencyControlOptions): ConcurrencyControl {
  const first = Math.min(firstInFlight, maxInFlight);
  let limit = first;
  let phase: Phase = { kind: 'leap', below: null, doubt: null };
  let cohort: Cohort = createCohort({ inFlight: limit, care: careOf(phase) });
  /** Changes with the limit, so that what was sent before does not speak about it. */
  let generation = 0;
  // Cohorts to stay before growth is tried again: doubles with every try in vain.
  let patience = MIN_PATIENCE;
  let unchecked = 0;
  let checkAfter = MIN_CHECK_COHORTS;
  const refusals = createRefusalCount({ memory: REFUSAL_MEMORY });
  let faultShare = 0;

  function go(nextLimit: number, next: Phase): void {
    const whole = Math.max(1, Math.min(maxInFlight, Math.round(nextLimit)));
    if (whole !== limit) generation += 1;
    limit = whole;
    phase = next;
    cohort = createCohort({ inFlight: limit, care: careOf(next) });
  }

  function hold(nextLimit: number): void {
    go(nextLimit, { kind: 'hold', usual: null, cohorts: 0, slow: 0 });
  }

  function climb(below: Level, factor: number): void {
    go(Math.max(below.inFlight + 1, below.inFlight * factor), { kind: 'climb', below, factor });
  }

  function dip(above: Level, factor: number): void {
    unchecked = 0;
    if (above.inFlight === 1) hold(1);
    else go(Math.min(above.inFlight - 1, above.inFlight / factor), { kind: 'dip', above, factor });
  }

  function conclude(level: Level): void {
    unchecked += 1;
    if (phase.kind === 'leap') concludeLeap(phase, level);
    else if (phase.kind === 'climb') concludeClimb(phase.below, phase.factor, level);
    else if (phase.kind === 'hold') concludeHold(phase, level);
    else concludeDip(phase.above, phase.factor, level);
  }

  function concludeLeap({ below, doubt }: Phase & { kind: 'leap' }, level: Level): void {
    const here = doubt === null || below === null ? level : doubt.here.with(level);
    if (below !== null && elasticity(below, here) > DOUBTFUL_ELASTICITY) {
      // A glance is easily wrong: both levels are looked at once more, and then as long as it takes.
      if (doubt === null) go(below.inFlight, { kind: 'leap', below: null, doubt: { below, here } });
      else go(below.inFlight, { kind: 'climb', below: null, factor: START_FACTOR });
    } else if (limit === maxInFlight) hold(limit);
    else if (below === null && doubt !== null) go(doubt.here.inFlight, { kind: 'leap', below: doubt.below.with(level), doubt });
    else go(limit * START_FACTOR, { kind: 'leap', below: here, doubt: null });
  }

  function concludeClimb(below: Level | null, factor: number, level: Level): void {
    const lost = below === null ? 0 : elasticity(below, level);
    if (below === null || lost <= USEFUL_ELASTICITY) {
      patience = MIN_PATIENCE;
      if (limit === maxInFlight) hold(limit);
      else climb(level, factor);
    } else if (below.inFlight <= first && factor === START_FACTOR) {
      // Already the modest beginning may have been too much.
      dip(below, START_FACTOR);
    } else {
      patience = factor === START_FACTOR ? MIN_PATIENCE : Math.min(MAX_PATIENCE, patience * 2);
      hold(kneeBetween(below, level, lost));
    }
  }

  function concludeHold({ usual, cohorts, slow }: { usual: Level | null; cohorts: number; slow: number }, level: Level): void {
    const slowdown = usual === null ? 1 : level.slowness(usual) / usual.slowness(level);
    const slowCohorts = slowdown > SLOWER ? slow + 1 : 0;
    const known = usual === null ? level : slowCohorts > 0 ? usual : usual.with(level);
    // If it can do less by so much, then this is where it can be kept full.
    if (slowdown > MUCH_SLOWER) dip(level, Math.min(slowdown, MAX_DIP_FACTOR));
    else if (slowCohorts >= 2 || unchecked >= (limit === maxInFlight ? LATER_AT_MAX : 1) * checkAfter) dip(level, DIP_FACTOR);
    else if (cohorts + 1 >= patience && limit < maxInFlight) climb(known, PROBE_FACTOR);
    else go(limit, { kind: 'hold', usual: known, cohorts: cohorts + 1, slow: slowCohorts });
  }

  function concludeDip(above: Level, factor: number, level: Level): void {
    const lost = elasticity(level, above);
    const useful = HEADROOM * kneeBetween(level, above, lost);
    checkAfter =
      lost <= USEFUL_ELASTICITY && useful >= CONFIRMED * above.inFlight ? Math.min(MAX_CHECK_COHORTS, checkAfter * 2) : MIN_CHECK_COHORTS;
    if (lost > USEFUL_ELASTICITY) dip(level, factor);
    else hold(useful);
  }

  /** Once for all requests that went out at the same limit. */
  function shrink(factor: number, least: number): void {
    if (limit <= least) return;
    // Below the beginning few answers come: a storm that has passed would be felt for an hour.
    patience = limit * factor < first ? MIN_PATIENCE : Math.min(MAX_PATIENCE, patience * 2);
    hold(Math.max(least, Math.min(limit - 1, limit * factor)));
  }

  function sent(inFlight: number): (seen: Observation) => void {
    const at = generation;
    // Below the limit there was too little to do: that tells nothing about it.
    const end = inFlight >= 0.8 * limit ? cohort.join() : null;
    const count = refusals.sent(monotonicMs());
    return (seen) => {
      const isCurrent = at === generation;
      count(seen, monotonicMs());
      if (seen.kind !== 'ignored') faultShare += ((seen.kind === 'fault' ? 1 : 0) - faultShare) / FAULT_MEMORY;
      if (seen.kind === 'overload' || seen.kind === 'unavailable') {
        if (isCurrent && refusals.share > MANY_REFUSALS) {
          refusals.reset();
          shrink(OVERLOAD_FACTOR, 1);
        }
      } else if (seen.kind === 'fault') {
        // Requests may fail by themselves, whatever the load: they never shrink it below where it begins.
        if (isCurrent && faultShare > MANY_FAULTS) {
          faultShare = 0;
          shrink(OVERLOAD_FACTOR, first);
        }
      }
      // Asked anew: what has just shrunk the limit may end its cohort too, whose level is then no longer this one.
      const level = at === generation ? (end?.(seen) ?? null) : null;
      if (level !== null) conclude(level);
    };
  }

  function probed(): (seen: Observation) => void {
    return (seen) => {
      if (seen.kind !== 'unavailable') return;
      // It is away, and nobody knows what it can do when it is back.
      generation += 1;
      patience = MIN_PATIENCE;
      go(Math.min(limit, first), { kind: 'leap', below: null, doubt: null });
    };
  }

  return {
    get limit() {
      return limit;
    },
    get reach() {
      const isNew = phase.kind === 'leap' || (phase.kind === 'climb' && phase.factor === START_FACTOR);
      return isNew ? maxInFlight : Math.min(maxInFlight, Math.ceil(PROBE_FACTOR * limit));
    },
    sent,
    probed,
  };
}

function careOf(phase: Phase): Care {
  if (phase.kind === 'leap') return 'glance';
  // Half or twice as many in flight are told apart by few answers, and waiting for many at half of what is needed costs.
  return phase.kind !== 'hold' && phase.factor === START_FACTOR ? 'short' : 'long';
}

/** Where growth stopped to be of use, if it was of full use up to there. */
function kneeBetween(below: Level, above: Level, lost: number): number {
  return below.inFlight * (above.inFlight / below.inFlight) ** Math.max(0, Math.min(1, 1 - lost));
}
