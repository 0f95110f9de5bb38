import type { Observation } from './limiter.ts';

/**
 * How slow an upstream is at one number in flight. Answers are long-tailed: what they have in common is the time per output
 * token, where answers report tokens and time follows them; otherwise the time alone must do.
 */
export interface Level {
  readonly inFlight: number;
  /** Slowness in the measure that suits both levels; only to be compared with the other's slowness to this one. */
  slowness(comparedWith: Level): number;
  /** The same level seen once more. */
  with(other: Level): Level;
  readonly measures: Measures;
}

interface Measures {
  /** Milliseconds per answer. */
  plain: Measure;
  /** Milliseconds per output token; null where not all answers report tokens. */
  perToken: Measure | null;
}

interface Measure {
  /** The logarithm of a typical value. */
  log: number;
  /** Spread of the logarithms, as a standard deviation. */
  spread: number;
}

/** The requests from which a level is learnt: the first that go out at it, in the order in which they go. */
export interface Cohort {
  /** Null when the cohort is full; otherwise what is to be called once with what was seen: the answer is the level, once it is known. */
  join(): ((seen: Observation) => Level | null) | null;
}

/** How much is wanted before a level is known. Only levels learnt with the same care, or of the two longer ones, can be compared. */
export type Care = keyof typeof CARE;

const MIN_SIZE = 16;
/**
 * `size` is the least in requests per place, `precision` and `most` say how it grows where answers differ much, `enough` is the
 * share that must have ended: waiting for the longest answers would take many times longer.
 *
 * Time spent in a queue adds to every answer alike. With log-normal lengths the quantile of times that grows like their mean lies
 * above the median, at 0.67; who looks when half have ended takes a lower one, which shows a queue all the more.
 */
const CARE = {
  glance: { size: 1, precision: 0, most: 0, enough: 0.5, quantile: 0.4 },
  short: { size: 0.5, precision: 8, most: 64, enough: 0.8, quantile: 0.67 },
  /** Enough for a growth by half to be told from nothing in most cases. */
  long: { size: 1, precision: 16, most: 400, enough: 0.8, quantile: 0.67 },
};
/** Of times per token, where short answers grow most. */
const PER_TOKEN_QUANTILE = 0.33;

/** An empty cohort. */
export function createCohort({ inFlight, care }: { inFlight: number; care: Care }): Cohort {
  const { size, precision, most, enough, quantile } = CARE[care];
  let answers: { ms: number; outputTokens: number }[] = [];
  let [joined, ended, done] = [0, 0, false];
  const least = Math.max(MIN_SIZE, Math.ceil(size * inFlight));
  /** Grows when answers turn out to differ. */
  let wanted = least;
  const lookEvery = Math.ceil(least / 8);

  function look(): Level | null {
    if (ended < joined / 2) return null;
    if (answers.length < ended / 2) {
      // Faults tell no time: anew from here on, with those that are still under way.
      if (joined >= wanted && ended >= enough * joined) [answers, joined, ended] = [[], joined - ended, 0];
      return null;
    }
    const measures = measure(answers, joined - ended, quantile);
    const spread = Math.min(measures.plain.spread, measures.perToken?.spread ?? Infinity);
    wanted = Math.max(wanted, Math.min(Math.max(least, most), Math.ceil((precision * spread) ** 2)));
    return joined >= wanted && ended >= enough * joined ? createLevel(inFlight, measures) : null;
  }

  return {
    join() {
      if (done || joined >= wanted) return null;
      joined += 1;
      return (seen) => {
        ended += 1;
        if (seen.kind === 'answer' && seen.ms !== null) answers.push({ ms: Math.max(seen.ms, 0.1), outputTokens: seen.outputTokens ?? 0 });
        // Looking at all answers costs: not after every single one.
        if (done || (ended % lookEvery !== 0 && ended < joined)) return null;
        const found = look();
        done = found !== null;
        return found;
      };
    },
  };
}

/** Which share of the growth in flight from one level to the other went into waiting: 0 for none, 1 for all of it. */
export function elasticity(below: Level, above: Level): number {
  return Math.log(above.slowness(below) / below.slowness(above)) / Math.log(above.inFlight / below.inFlight);
}

function createLevel(inFlight: number, measures: Measures): Level {
  return {
    inFlight,
    measures,
    slowness(comparedWith) {
      const [own, other] = [measures.perToken, comparedWith.measures.perToken];
      const tokensSuit =
        own !== null && other !== null && own.spread + other.spread < measures.plain.spread + comparedWith.measures.plain.spread;
      return Math.exp(tokensSuit ? own.log : measures.plain.log);
    },
    with(other) {
      const perToken =
        measures.perToken === null || other.measures.perToken === null ? null : mean(measures.perToken, other.measures.perToken);
      return createLevel(inFlight, { plain: mean(measures.plain, other.measures.plain), perToken });
    },
  };
}

function mean(one: Measure, other: Measure): Measure {
  return { log: (one.log + other.log) / 2, spread: (one.spread + other.spread) / 2 };
}

/** `missing` requests have not ended: theirs are the longest times. `quantile` is the typical one of the plain times. */
function measure(answers: readonly { ms: number; outputTokens: number }[], missing: number, quantile: number): Measures {
  const plain = answers.map(({ ms }) => Math.log(ms));
  const hasTokens = answers.every(({ outputTokens }) => outputTokens > 0);
  return {
    plain: describe(plain, missing, quantile),
    perToken: hasTokens
      ? describe(
          answers.map(({ ms, outputTokens }) => Math.log(ms / outputTokens)),
          0,
          PER_TOKEN_QUANTILE,
        )
      : null,
  };
}

function describe(logs: number[], missing: number, quantile: number): Measure {
  const sorted = logs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * (sorted.length + missing)))] ?? 0;
  // A fifth and four fifths of a normal distribution are 1.68 standard deviations apart.
  return { log: at(quantile), spread: (at(0.8) - at(0.2)) / 1.68 };
}
