import { isTransient } from './api-fault.ts';
import { duration } from './progress-line.ts';

/** After an answer of 429 or none at all. */
const AWAY_MS = { first: 500, longest: 15_000, factor: 2 };

/**
 * How long a command that polls waits after an error, and how it says so, longest variant first. `failures` errors came right before
 * this one. Throws an error that no later poll changes.
 */
export function apiAway(error: unknown, failures: number): { waitMs: number; variants: string[] } {
  if (!isTransient(error)) throw error;
  const backoffMs = Math.min(AWAY_MS.longest, AWAY_MS.first * AWAY_MS.factor ** failures);
  const waitMs = Math.max(backoffMs, error.retryAfterMs ?? 0);
  const what = error.status === null ? 'the API does not answer' : `the API answers ${error.status}`;
  return { waitMs, variants: [`${what}, trying again in ${duration(waitMs / 1000)}`, what] };
}
