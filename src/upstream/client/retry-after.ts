/** A wait that no server means: it wrote a number of another unit. */
const LONGEST_MS = 366 * 86_400_000;
/** Larger numbers of seconds are points in time. */
const UNIX_SECONDS = 1e9;

/** What `Retry-After` says, in milliseconds from now, a year at most; null when it is absent or unreadable. `nowMs` is Unix time. */
export function retryAfterMs(headers: Readonly<Record<string, string | string[] | undefined>>, nowMs: number): number | null {
  const ms = readRetryAfter(headers, nowMs);
  return ms === null ? null : Math.min(LONGEST_MS, Math.max(0, ms));
}

function readRetryAfter(headers: Readonly<Record<string, string | string[] | undefined>>, nowMs: number): number | null {
  // OpenAI's own, finer header goes before the standard one, as in the official SDKs.
  const milliseconds = decimal(single(headers['retry-after-ms']));
  if (milliseconds !== null) return milliseconds;
  const text = single(headers['retry-after']);
  if (text === null) return null;
  const seconds = decimal(text);
  if (seconds !== null) return seconds < UNIX_SECONDS ? seconds * 1000 : seconds * 1000 - nowMs;
  const date = /[a-z]/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? null : date - nowMs;
}

function single(value: string | string[] | undefined): string | null {
  return (Array.isArray(value) ? value[0] : value)?.trim() ?? null;
}

function decimal(text: string | null): number | null {
  return text !== null && /^\d+(\.\d+)?$/.test(text) ? Number(text) : null;
}
