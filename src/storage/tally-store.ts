import { type ShardTally, type Tallies, uniteTallies } from '../domain/shard-tally.ts';
import { getJson, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { updateJson } from './update-json.ts';

/**
 * Which lines of a batch's open shards have an outcome, as workers tell it: one object per batch, changed by compare-and-set. Sets of
 * lines only grow, so workers may tell the same line, in any order. What is published comes from shard results and never from here.
 */
export interface TallyStore {
  /** Empty where no worker has told anything. */
  read(batchId: string): Promise<Tallies>;
  /**
   * Adds lines, except to frozen shards, and removes the shards in `closed`. Returns what stands then. The `added` tallies may grow
   * meanwhile.
   */
  add(batchId: string, added: Tallies, closed: Iterable<number>): Promise<Tallies>;
  /**
   * Nothing is added to the shard any more. Called before its pieces are read for the last time, so that no line counts that its
   * shard result does not have. Does nothing where no worker has told anything: then no line counts before the shard is closed.
   */
  freeze(batchId: string, shard: number): Promise<void>;
  /** The shard goes on. */
  thaw(batchId: string, shard: number): Promise<void>;
}

/** Sets in base64. */
interface StoredTally {
  completed: string;
  failed: string;
  frozen?: true;
}

interface StoredTallies {
  shards: Record<string, StoredTally>;
}

const EMPTY: StoredTally = { completed: '', failed: '' };

/** The tallies in a bucket. */
export function createTallyStore(store: ObjectStore): TallyStore {
  async function setFrozen(batchId: string, shard: number, isFrozen: boolean): Promise<void> {
    await updateJson<StoredTallies>(store, keys.tallies(batchId), ({ shards }) => {
      const { frozen = false, ...tally } = shards[shard] ?? EMPTY;
      if (frozen === isFrozen) return null;
      return { shards: { ...shards, [shard]: isFrozen ? { ...tally, frozen: true } : tally } };
    });
  }

  return {
    async read(batchId) {
      return toTallies((await getJson<StoredTallies>(store, keys.tallies(batchId))) ?? { shards: {} });
    },

    async add(batchId, added, closed) {
      const key = keys.tallies(batchId);
      const gone = new Set(closed);
      for (;;) {
        const standing = await updateJson<StoredTallies>(store, key, (found) => withAdded(found, added, gone));
        if (standing !== null) return toTallies(standing);
        const first = withAdded({ shards: {} }, added, gone);
        if (first === null || (await store.create(key, toJsonBytes(first))) === 'created') return toTallies(first ?? { shards: {} });
      }
    },

    freeze: async (batchId, shard) => await setFrozen(batchId, shard, true),
    thaw: async (batchId, shard) => await setFrozen(batchId, shard, false),
  };
}

/** Null where that changes nothing. */
function withAdded({ shards: found }: StoredTallies, added: Tallies, closed: ReadonlySet<number>): StoredTallies | null {
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
  return isChanged ? { shards } : null;
}

function toTallies({ shards }: StoredTallies): Tallies {
  return new Map(Object.entries(shards).map(([shard, tally]) => [Number(shard), toTally(tally)]));
}

function toTally({ completed, failed }: StoredTally): ShardTally {
  return { completed: Buffer.from(completed, 'base64'), failed: Buffer.from(failed, 'base64') };
}

function toStored({ completed, failed }: ShardTally): StoredTally {
  return { completed: toBase64(completed), failed: toBase64(failed) };
}

/** Without the zeros at the end: most shards have no failure. */
function toBase64(bits: Uint8Array): string {
  let length = bits.length;
  while (length > 0 && bits[length - 1] === 0) length -= 1;
  return Buffer.from(bits.subarray(0, length)).toString('base64');
}
