import type { Attempt, HttpAnswer, Outcome } from './attempt.ts';
import { backoffMs } from './backoff.ts';

/** When tries of a request end it. */
export interface RetryRules {
  /** Failures that end a request. */
  maxFaults: number;
  /** Refusals that end a request; null for no end before the window's. */
  maxRefusals: number | null;
}

/** Tries of one request that count. */
export interface Tries {
  /** Weighed: a timeout counts for more than one, see `decide`. */
  faults: number;
  /** Timeouts so far: each doubles the time that the next try gets. */
  timeouts: number;
  refusals: number;
}

export const NO_TRIES: Readonly<Tries> = { faults: 0, timeouts: 0, refusals: 0 };

/** What happens after an attempt; `tries` are those to go on with. */
export type Verdict =
  | { kind: 'outcome'; outcome: Outcome; tries: Tries }
  /** It failed by itself and is tried again after `waitMs`. */
  | { kind: 'retry'; tries: Tries; waitMs: number }
  /** The server did not take it. It is sent again after `waitMs`, and nothing counts against it but refusals where they are limited. */
  | { kind: 'wait'; tries: Tries; waitMs: number };

const FIRST_FAILURE_WAIT_MS = 5_000;
const FAILURE_WAIT_FACTOR = 3;
/** With five faults: up to 5, 15, 45 and 135 s, so that a restart of a few minutes costs no request. */
const MAX_FAILURE_WAIT_MS = 135_000;
const FIRST_REFUSAL_WAIT_MS = 250;
const MAX_REFUSAL_WAIT_MS = 60_000;
/** Spreads requests that were turned away together. */
const JITTER = 0.25;
/** A slow request gets up to four times the request timeout. */
const MAX_DOUBLINGS = 2;

/**
 * Decides what happens after an attempt of a request whose earlier tries were `tries`. `random` is from 0 to 1. A timeout takes so many of
 * the faults that the third ends a request by default, and what repeats hardly cure takes half of them, so that the second ends it.
 */
export function decide(attempt: Exclude<Attempt, { kind: 'aborted' }>, tries: Tries, rules: RetryRules, random: number): Verdict {
  switch (attempt.kind) {
    case 'answered':
      return { kind: 'outcome', outcome: { kind: 'answered', isSuccess: true, answer: attempt.answer, usage: attempt.usage }, tries };
    case 'rejected':
      return { kind: 'outcome', outcome: unsuccessful(attempt.answer), tries };
    case 'denied':
      return { kind: 'outcome', outcome: toOutcome(attempt, 'invalid_response'), tries };
    case 'away':
      return { kind: 'wait', tries, waitMs: refusalWaitMs(tries.refusals + 1, null, random) };
    case 'refused': {
      const next = { ...tries, refusals: tries.refusals + 1 };
      const isLast = rules.maxRefusals !== null && next.refusals >= rules.maxRefusals;
      if (isLast) return { kind: 'outcome', outcome: unsuccessful(attempt.answer), tries: next };
      return { kind: 'wait', tries: next, waitMs: refusalWaitMs(next.refusals, attempt.retryAfterMs, random) };
    }
    case 'failed': {
      const isTimeout = attempt.code === 'request_timeout';
      const next = {
        ...tries,
        faults: tries.faults + weightOf(attempt, rules.maxFaults),
        timeouts: tries.timeouts + (isTimeout ? 1 : 0),
      };
      if (next.faults >= rules.maxFaults) return { kind: 'outcome', outcome: toOutcome(attempt, attempt.code), tries: next };
      // By the tries before it, because one try may weigh more than one fault.
      const waitMs = Math.ceil(failureWaitMs(tries.faults + 1) * (1 - JITTER * random));
      return { kind: 'retry', tries: next, waitMs: Math.max(waitMs, attempt.retryAfterMs ?? 0) };
    }
  }
}

/** The tries of a request whose attempt does not count, because the same happened to everybody: only the longer timeout is kept. */
export function uncounted(attempt: Attempt, tries: Tries): Tries {
  const isTimeout = attempt.kind === 'failed' && attempt.code === 'request_timeout';
  return isTimeout ? { ...tries, timeouts: tries.timeouts + 1 } : tries;
}

/** How often a request with these tries was sent; refusals of earlier activities are counted only where they are limited. */
export function sendsOf({ faults, timeouts, refusals }: Tries, { maxFaults }: RetryRules): number {
  return Math.max(0, faults - timeouts * (timeoutWeight(maxFaults) - 1)) + refusals;
}

/** How many times its request timeout the next try gets. */
export function timeoutFactor({ timeouts }: Tries): number {
  return 2 ** Math.min(timeouts, MAX_DOUBLINGS);
}

/** In milliseconds, without jitter. */
function failureWaitMs(faults: number): number {
  return faults === 0 ? 0 : backoffMs(faults - 1, FIRST_FAILURE_WAIT_MS, MAX_FAILURE_WAIT_MS, FAILURE_WAIT_FACTOR);
}

function weightOf(attempt: Attempt & { kind: 'failed' }, maxFaults: number): number {
  if (!attempt.isCurable) return Math.ceil(maxFaults / 2);
  return attempt.code === 'request_timeout' ? timeoutWeight(maxFaults) : 1;
}

function timeoutWeight(maxFaults: number): number {
  return Math.ceil(maxFaults / 3);
}

/** What the server asks for is kept in full. */
function refusalWaitMs(refusals: number, retryAfterMs: number | null, random: number): number {
  const ownMs = backoffMs(refusals - 1, FIRST_REFUSAL_WAIT_MS, MAX_REFUSAL_WAIT_MS);
  return withJitter(Math.max(retryAfterMs ?? 0, ownMs), random);
}

/** Never less than asked for. */
function withJitter(ms: number, random: number): number {
  return Math.ceil(ms * (1 + JITTER * random));
}

function unsuccessful(answer: HttpAnswer): Outcome {
  return { kind: 'answered', isSuccess: false, answer, usage: null };
}

function toOutcome(
  { answer, message }: { answer: HttpAnswer | null; message: string },
  code: Extract<Outcome, { kind: 'errored' }>['code'],
): Outcome {
  return answer === null ? { kind: 'errored', code, message } : unsuccessful(answer);
}
