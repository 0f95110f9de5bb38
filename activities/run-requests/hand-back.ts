import type { Tries } from '../../src/domain/retry.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import type { RanRequests } from '../../workflows/contract.ts';
import type { SliceTally } from './run-slice.ts';

/**
 * Lines of a slice of many that go on as slices of one. Lines that were only refused do so where refusals are limited: others have
 * nothing to remember.
 */
export function toAgain({ retried, postponed }: SliceTally, { rules }: Upstream): RanRequests['again'] {
  const again = [...retried].map(([line, end]) => ({ ...handedBack(line, end), waitMs: end.waitMs }));
  if (rules.maxRefusals === null) return again;
  const refused = [...postponed].filter(([, { tries }]) => tries.refusals > 0);
  return [...again, ...refused.map(([line, { tries, waitMs }]) => ({ ...handedBack(line, { tries, server: null }), waitMs }))];
}

/** What the next activity is to know of a line. */
export function handedBack(line: number, { tries, server }: { tries: Tries; server: number | null }): RanRequests['again'][number] {
  const { faults, timeouts, refusals } = tries;
  return { line, faults, timeouts, ...(refusals === 0 ? {} : { refusals }), ...(server === null ? {} : { server }) };
}
