import type { RequestCounts } from './batch.ts';
import { type FailedLine, type Failure, type FailureGroup, groupOf } from './failures.ts';
import { SHARD_MAX_LINES } from './limits.ts';

/** Which lines of a shard have an outcome in a piece: one bit per line, at its number modulo the lines that a shard has at most. */
export interface ShardTally {
  completed: Uint8Array;
  /** A line that is in both sets is completed, as when its shard is closed. */
  failed: Uint8Array;
  /** Why lines failed, by `failureKey`. */
  failures: Map<string, TalliedFailure>;
}

/** The failed lines with one cause. */
export interface TalliedFailure {
  failure: Failure;
  lines: Uint8Array;
  /** Some of the lines. */
  examples: { line: number; customId: string }[];
}

/** By number of the shard. */
export type Tallies = ReadonlyMap<number, ShardTally>;

type Counts = Pick<RequestCounts, 'completed' | 'failed'>;

const BYTES = Math.ceil(SHARD_MAX_LINES / 8);
const EXAMPLES = 3;

export function emptyTally(): ShardTally {
  return { completed: new Uint8Array(BYTES), failed: new Uint8Array(BYTES), failures: new Map() };
}

/** Adds the outcome of a line. Returns whether the tally changed. */
export function addOutcome(tally: ShardTally, line: number, outcome: 'completed' | 'failed', failed?: FailedLine): boolean {
  if (!setBit(tally[outcome], line)) return false;
  if (failed === undefined) return true;
  const { key, failure } = groupOf(failed.failure, (each) => tally.failures.has(each), tally.failures.size);
  const group = tally.failures.get(key) ?? { failure, lines: new Uint8Array(BYTES), examples: [] };
  tally.failures.set(key, group);
  setBit(group.lines, line);
  group.examples = firstOf([...group.examples, { line, customId: failed.customId }]);
  return true;
}

/** Everything that either tally has. */
export function uniteTallies(a: ShardTally, b: ShardTally): ShardTally {
  const failures = new Map(a.failures);
  for (const [name, told] of b.failures) {
    const { key, failure } = failures.has(name)
      ? { key: name, failure: told.failure }
      : groupOf(told.failure, (each) => failures.has(each), failures.size);
    const before = failures.get(key);
    const lines = before === undefined ? told.lines : unite(before.lines, told.lines);
    failures.set(key, { failure, lines, examples: firstOf([...(before?.examples ?? []), ...told.examples]) });
  }
  return { completed: unite(a.completed, b.completed), failed: unite(a.failed, b.failed), failures };
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

/** Why lines of a shard failed. A line counts once, and not if it is completed as well. */
export function failuresOf({ completed, failures }: ShardTally): FailureGroup[] {
  const counted = Uint8Array.from(completed);
  const groups: FailureGroup[] = [];
  for (const { failure, lines, examples } of failures.values()) {
    let count = 0;
    for (const [at, byte] of lines.entries()) count += bitsOf(byte & ~(counted[at] ?? 0));
    const customIds = examples.filter(({ line }) => !hasBit(counted, line)).map(({ customId }) => customId);
    if (count > 0) groups.push({ ...failure, lines: count, example: customIds[0] ?? '', custom_ids: customIds });
    for (const [at, byte] of lines.entries()) counted[at] = (counted[at] ?? 0) | byte;
  }
  return groups;
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

function firstOf(examples: TalliedFailure['examples']): TalliedFailure['examples'] {
  const byLine = new Map(examples.map((each) => [each.line, each]));
  return [...byLine.values()].sort((a, b) => a.line - b.line).slice(0, EXAMPLES);
}

/** Returns whether the bit is new. */
function setBit(bits: Uint8Array, line: number): boolean {
  const place = line % SHARD_MAX_LINES;
  const [at, bit] = [place >> 3, 1 << (place & 7)];
  const byte = bits[at] ?? 0;
  if ((byte & bit) !== 0) return false;
  bits[at] = byte | bit;
  return true;
}

function hasBit(bits: Uint8Array, line: number): boolean {
  const place = line % SHARD_MAX_LINES;
  return ((bits[place >> 3] ?? 0) & (1 << (place & 7))) !== 0;
}

function unite(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: Math.max(a.length, b.length) }, (_, at) => (a[at] ?? 0) | (b[at] ?? 0));
}

function bitsOf(byte: number): number {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
