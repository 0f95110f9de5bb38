import type { RateBudget, RateBudgets } from '../../domain/attempt.ts';

type Header = string | string[] | undefined;
type Headers = Readonly<Record<string, Header>>;

/** Reads the budgets of an answer; null when it tells of none. `nowMs` is Unix time. */
export function readRateBudgets(headers: Headers, nowMs: number): RateBudgets | null {
  const requests = budgetOf(headers['x-ratelimit-remaining-requests'], headers['x-ratelimit-reset-requests'], nowMs);
  const tokens = budgetOf(headers['x-ratelimit-remaining-tokens'], headers['x-ratelimit-reset-tokens'], nowMs);
  return requests === null && tokens === null ? null : { requests, tokens };
}

function budgetOf(remaining: Header, resets: Header, nowMs: number): RateBudget | null {
  if (remaining === undefined || resets === undefined) return null;
  const [left, reset] = [single(remaining), single(resets)];
  const resetMs = reset === '' ? null : resetIn(reset, nowMs);
  if (!/^\d+(\.\d+)?$/.test(left) || resetMs === null) return null;
  return resetMs > LONGEST_MS ? null : { remaining: Number(left), resetMs };
}

/** `6m0s`, `250ms`, `1.5` (seconds), Unix seconds or milliseconds, or a date, as milliseconds from now; null for anything else. */
function resetIn(text: string, nowMs: number): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) {
    const value = Number(text);
    if (value >= UNIX_MILLISECONDS) return Math.max(0, value - nowMs);
    return value >= UNIX_SECONDS ? Math.max(0, value * 1000 - nowMs) : value * 1000;
  }
  if (/^(\d+(\.\d+)?(ms|[dhms]))+$/.test(text)) {
    let ms = 0;
    for (const [, value, , unit = ''] of text.matchAll(/(\d+(\.\d+)?)(ms|[dhms])/g)) ms += Number(value) * (UNIT_MS[unit] ?? 0);
    return ms;
  }
  const date = /^\d{4}-|[a-z]{3} \d/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

/** Larger numbers are points in time: nobody waits 30 years. */
const UNIX_SECONDS = 1e9;
const UNIX_MILLISECONDS = 1e12;
/** A reset further off is a number of another unit. Nothing probes a budget, so requests would wait for it without end. */
const LONGEST_MS = 366 * 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

function single(value: string | string[]): string {
  return (Array.isArray(value) ? value[0] : value)?.trim() ?? '';
}
