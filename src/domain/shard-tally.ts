import type { RequestCounts } from './batch.ts';
import { SHARD_MAX_LINES } from './limits.ts';

/** Which lines of a shard have an outcome in a piece: one bit per line, at its number modulo the lines that a shard has at most. */
export interface ShardTally {
  completed: Uint8Array;
  /** A line that is in both sets is completed, as when its shard is closed. */
  failed: Uint8Array;
}

/** By number of the shard. */
export type Tallies = ReadonlyMap<number, ShardTally>;

type Counts = Pick<RequestCounts, 'completed' | 'failed'>;

export function emptyTally(): ShardTally {
  const bytes = Math.ceil(SHARD_MAX_LINES / 8);
  return { completed: new Uint8Array(bytes), failed: new Uint8Array(bytes) };
}

/** Adds the outcome of a line. Returns whether the tally changed. */
export function addOutcome(tally: ShardTally, line: number, outcome: 'completed' | 'failed'): boolean {
  const bits = tally[outcome];
  const place = line % SHARD_MAX_LINES;
  const [at, bit] = [place >> 3, 1 << (place & 7)];
  const byte = bits[at] ?? 0;
  if ((byte & bit) !== 0) return false;
  bits[at] = byte | bit;
  return true;
}

/** Everything that either tally has. */
export function uniteTallies(a: ShardTally, b: ShardTally): ShardTally {
  return { completed: unite(a.completed, b.completed), failed: unite(a.failed, b.failed) };
}

export function countTally({ completed, failed }: ShardTally): Counts {
  const counts = { completed: 0, failed: 0 };
  for (let at = 0; at < Math.max(completed.length, failed.length); at++) {
    const answered = completed[at] ?? 0;
    counts.completed += bitsOf(answered);
    counts.failed += bitsOf((failed[at] ?? 0) & ~answered);
  }
  return counts;
}

/** The counts of closed shards, and what the tallies have of the shards in `unclosed` (ascending inclusive ranges). */
export function addTallies(
  { completed, failed, unclosed }: Counts & { unclosed: [first: number, last: number][] },
  tallies: Tallies,
): Counts {
  const sum = { completed, failed };
  for (const [shard, tally] of tallies) {
    if (!unclosed.some(([first, last]) => shard >= first && shard <= last)) continue;
    const counts = countTally(tally);
    sum.completed += counts.completed;
    sum.failed += counts.failed;
  }
  return sum;
}

function unite(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: Math.max(a.length, b.length) }, (_, at) => (a[at] ?? 0) | (b[at] ?? 0));
}

function bitsOf(byte: number): number {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
