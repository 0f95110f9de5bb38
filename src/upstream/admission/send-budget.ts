import type { RateBudget } from '../../domain/attempt.ts';
import type { Observation } from './observation.ts';

/** When the next request may go out, by what the upstream tells of its budgets and by what is configured. Times are monotonic. */
export interface SendBudget {
  /** Milliseconds until the next request may go out; 0 for now. */
  waitMs(nowMs: number): number;
  /** Notes a request that goes out; answers what `seen` wants to know of it. */
  sent(nowMs: number): SentRequest;
  seen(request: SentRequest, seen: Observation, nowMs: number): void;
  /** The request did not go out after all. */
  unsent(request: SentRequest): void;
}

/** How many requests, and how many tokens by estimate, had gone out before and with this one. */
export interface SentRequest {
  requests: number;
  tokens: number;
  /** Tokens it was taken for. */
  estimate: number;
}

/** The latest an upstream has told of one budget. */
interface ReportedBudget extends RateBudget {
  atMs: number;
  /** What had gone out in all with the request whose answer told it. */
  sent: number;
}

/** So much may be made up for when a timer fires late. */
const SLACK_MS = 20;
const SHARE_OF_NEWEST = 0.1;
/** A request whose answers tell nothing about tokens counts as so many until they do. */
const UNKNOWN_TOKENS = 0;

/**
 * Spreads what remains of a budget evenly over the time until its reset. That fits both kinds of budgets: a minute's
 * allowance is used up when the minute is, and a bucket that fills steadily settles half full, at the rate at which it fills.
 * And it needs no word between workers: all of them see the same remainder, and slow down alike.
 */
export function createSendBudget({ tokensPerMinute, maxWaitMs }: { tokensPerMinute: number | null; maxWaitMs: number }): SendBudget {
  const reported: { requests: ReportedBudget | null; tokens: ReportedBudget | null } = { requests: null, tokens: null };
  let [requests, tokens, tokensPerRequest] = [0, 0, UNKNOWN_TOKENS];
  let nextMs = 0;
  // The configured budget: a bucket that may be overdrawn, because what a request costs is known afterwards.
  let [bucket, filledMs] = [tokensPerMinute === null ? 0 : tokensPerMinute / 60, 0];

  /** Requests that remain of a budget, and the milliseconds until its reset; null when it has no say. */
  function leftOf(budget: ReportedBudget | null, sent: number, cost: number, nowMs: number): { requests: number; ms: number } | null {
    if (budget === null || cost === 0) return null;
    const ms = Math.min(budget.atMs + budget.resetMs - nowMs, maxWaitMs);
    return ms <= 0 ? null : { requests: (budget.remaining - (sent - budget.sent)) / cost, ms };
  }

  function lefts(nowMs: number): { requests: number; ms: number }[] {
    const all = [leftOf(reported.requests, requests, 1, nowMs), leftOf(reported.tokens, tokens, tokensPerRequest, nowMs)];
    return all.filter((left) => left !== null);
  }

  /** Milliseconds from one request to the next. */
  function intervalMs(nowMs: number): number {
    return Math.max(0, ...lefts(nowMs).map(({ requests: left, ms }) => ms / Math.max(1, left)));
  }

  /** Milliseconds until the reset of a budget of which nothing remains; 0 when something does. */
  function exhaustedMs(nowMs: number): number {
    return Math.max(0, ...lefts(nowMs).map(({ requests: left, ms }) => (left < 1 ? ms : 0)));
  }

  function configuredWaitMs(nowMs: number): number {
    if (tokensPerMinute === null) return 0;
    if (filledMs === 0) filledMs = nowMs;
    bucket = Math.min(tokensPerMinute / 60, bucket + ((nowMs - filledMs) * tokensPerMinute) / 60_000);
    filledMs = nowMs;
    return bucket >= 0 ? 0 : (-bucket * 60_000) / tokensPerMinute;
  }

  function learn(which: 'requests' | 'tokens', budget: RateBudget | null | undefined, sent: number, nowMs: number): void {
    if (budget === null || budget === undefined) return;
    // Answers overtake each other: what a request told that went out later is newer.
    if (reported[which] === null || reported[which].sent <= sent) reported[which] = { ...budget, atMs: nowMs, sent };
  }

  return {
    waitMs(nowMs) {
      const waitMs = Math.max(Math.min(nextMs - nowMs, intervalMs(nowMs)), exhaustedMs(nowMs), configuredWaitMs(nowMs));
      return waitMs <= 0 ? 0 : Math.min(Math.ceil(waitMs), maxWaitMs);
    },
    sent(nowMs) {
      requests += 1;
      tokens += tokensPerRequest;
      bucket -= tokensPerRequest;
      nextMs = Math.max(nextMs, nowMs - SLACK_MS) + intervalMs(nowMs);
      return { requests, tokens, estimate: tokensPerRequest };
    },
    unsent({ estimate }) {
      requests -= 1;
      tokens -= estimate;
      bucket += estimate;
    },
    seen(request, seen, nowMs) {
      if (seen.kind !== 'answer' && seen.kind !== 'overload') return;
      learn('requests', seen.budgets?.requests, request.requests, nowMs);
      learn('tokens', seen.budgets?.tokens, request.tokens, nowMs);
      const cost = seen.kind === 'overload' ? 0 : (seen.totalTokens ?? request.estimate);
      bucket -= cost - request.estimate;
      if (seen.kind === 'overload' || (seen.totalTokens ?? null) === null) return;
      tokensPerRequest = tokensPerRequest === 0 ? cost : tokensPerRequest + (cost - tokensPerRequest) * SHARE_OF_NEWEST;
    },
  };
}
