import { type FailureGroup, failureKey, sumFailures } from '../domain/failures.ts';
import { containsLine, type LineRange, lineRanges, linesIn } from '../domain/line-ranges.ts';
import { type ShardTally, type Tallies, type TalliedFailure, uniteTallies } from '../domain/shard-tally.ts';
import type { WorkerReport } from '../domain/batch-facts.ts';
import { getJson } from './json-objects.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { updateJson, upsertJson } from './update-json.ts';

/**
 * Which lines of a batch's open shards have an outcome, as workers tell it: one object per batch, changed by compare-and-set. Sets of
 * lines only grow, so workers may tell the same line, in any order. What is published comes from shard results and never from here.
 */
export interface TallyStore {
  /** Empty where no worker has told anything. */
  read(batchId: string): Promise<Tallies>;
  /** The same, and what else is known of a batch that runs. */
  readAll(batchId: string): Promise<ToldFacts>;
  /**
   * Adds lines, except to frozen shards, and removes the shards in `closed`. Returns what stands then. The `added` tallies may grow
   * meanwhile. A `report` takes the place of what this worker reported before.
   */
  add(batchId: string, added: Tallies, closed: Iterable<number>, report?: WorkerReport): Promise<Tallies>;
  /** Adds the failures of a closed shard, once however often it is called. */
  addClosed(batchId: string, shard: number, failures: readonly FailureGroup[]): Promise<void>;
  /**
   * Nothing is added to the shard any more. Called before its pieces are read for the last time, so that no line counts that its
   * shard result does not have. Does nothing where no worker has told anything: then no line counts before the shard is closed.
   */
  freeze(batchId: string, shard: number): Promise<void>;
  /** The shard goes on. */
  thaw(batchId: string, shard: number): Promise<void>;
}

/** What workers told of a batch that runs. */
export interface ToldFacts {
  tallies: Tallies;
  /** Why lines of closed shards failed, and which shards are in that sum. */
  closed: ClosedFailures;
  reports: WorkerReport[];
}

export interface ClosedFailures {
  shards: LineRange[];
  failures: FailureGroup[];
}

/** Sets in base64. */
interface StoredTally {
  completed: string;
  failed: string;
  failures?: (Omit<TalliedFailure, 'lines'> & { lines: string })[];
  frozen?: true;
}

interface StoredTallies {
  shards: Record<string, StoredTally>;
  closed?: ClosedFailures;
  /** By id of the worker. */
  reports?: Record<string, WorkerReport>;
}

const NOTHING_TOLD: StoredTallies = { shards: {} };
const EMPTY: StoredTally = { completed: '', failed: '' };
const NO_FAILURES: ClosedFailures = { shards: [], failures: [] };
/** Reports of workers that are gone for so long are removed. */
const FORGET_REPORT_MS = 10 * 60_000;

/** The tallies in a bucket. */
export function createTallyStore(store: ObjectStore): TallyStore {
  async function setFrozen(batchId: string, shard: number, isFrozen: boolean): Promise<void> {
    await updateJson<StoredTallies>(store, keys.tallies(batchId), ({ shards, ...others }) => {
      const { frozen = false, ...tally } = shards[shard] ?? EMPTY;
      if (frozen === isFrozen) return null;
      return { ...others, shards: { ...shards, [shard]: isFrozen ? { ...tally, frozen: true } : tally } };
    });
  }

  return {
    async read(batchId) {
      return toTallies((await getJson<StoredTallies>(store, keys.tallies(batchId))) ?? NOTHING_TOLD);
    },

    async readAll(batchId) {
      const found = (await getJson<StoredTallies>(store, keys.tallies(batchId))) ?? NOTHING_TOLD;
      return { tallies: toTallies(found), closed: found.closed ?? NO_FAILURES, reports: Object.values(found.reports ?? {}) };
    },

    async addClosed(batchId, shard, failures) {
      const withClosed = (found: StoredTallies): StoredTallies | null => {
        const { shards, failures: before } = found.closed ?? NO_FAILURES;
        if (containsLine(shards, shard)) return null;
        const summed = lineRanges([...linesIn(shards), shard].sort((a, b) => a - b));
        return { ...found, closed: { shards: summed, failures: sumFailures([before, failures]) } };
      };
      await upsertJson(store, keys.tallies(batchId), NOTHING_TOLD, withClosed);
    },

    async add(batchId, added, closed, report) {
      const gone = new Set(closed);
      const changed = (found: StoredTallies) => withReport(found, withAdded(found, added, gone), report);
      return toTallies(await upsertJson(store, keys.tallies(batchId), NOTHING_TOLD, changed));
    },

    freeze: async (batchId, shard) => await setFrozen(batchId, shard, true),
    thaw: async (batchId, shard) => await setFrozen(batchId, shard, false),
  };
}

/** Null where that changes nothing. */
function withAdded({ shards: found, ...others }: StoredTallies, added: Tallies, closed: ReadonlySet<number>): StoredTallies | null {
  const shards = Object.fromEntries(Object.entries(found).filter(([shard]) => !closed.has(Number(shard))));
  let isChanged = Object.keys(shards).length < Object.keys(found).length;
  for (const [shard, tally] of added) {
    const before = shards[shard] ?? EMPTY;
    if (before.frozen === true || closed.has(shard)) continue;
    const after = toStored(uniteTallies(toTally(before), tally));
    if (after.completed === before.completed && after.failed === before.failed) continue;
    shards[shard] = after;
    isChanged = true;
  }
  return isChanged ? { ...others, shards } : null;
}

function withReport(found: StoredTallies, changed: StoredTallies | null, report: WorkerReport | undefined): StoredTallies | null {
  if (report === undefined) return changed;
  const others = Object.values(found.reports ?? {}).filter(
    ({ worker, atMs }) => worker !== report.worker && report.atMs - atMs < FORGET_REPORT_MS,
  );
  return { ...(changed ?? found), reports: Object.fromEntries([...others, report].map((each) => [each.worker, each])) };
}

function toTallies({ shards }: StoredTallies): Tallies {
  return new Map(Object.entries(shards).map(([shard, tally]) => [Number(shard), toTally(tally)]));
}

function toTally({ completed, failed, failures = [] }: StoredTally): ShardTally {
  const groups = failures.map(({ lines, ...group }): TalliedFailure => ({ ...group, lines: Buffer.from(lines, 'base64') }));
  const byKey = new Map(groups.map((group) => [failureKey(group.failure), group]));
  return { completed: Buffer.from(completed, 'base64'), failed: Buffer.from(failed, 'base64'), failures: byKey };
}

function toStored({ completed, failed, failures }: ShardTally): StoredTally {
  const groups = [...failures.values()].map(({ lines, ...group }) => ({ ...group, lines: toBase64(lines) }));
  return { completed: toBase64(completed), failed: toBase64(failed), ...(groups.length === 0 ? {} : { failures: groups }) };
}

/** Without the zeros at the end: most shards have no failure. */
function toBase64(bits: Uint8Array): string {
  let length = bits.length;
  while (length > 0 && bits[length - 1] === 0) length -= 1;
  return Buffer.from(bits.subarray(0, length)).toString('base64');
}
