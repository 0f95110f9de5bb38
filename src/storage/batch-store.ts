import type { Batch, BatchRecord } from '../domain/batch.ts';
import { idTimeMs } from '../domain/ids.ts';
import type { Page } from './file-store.ts';
import { firstMapped } from './in-order.ts';
import { getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { createOpenMarkers } from './open-markers.ts';
import { createTallyStore, type TallyStore } from './tally-store.ts';
import { updateJson } from './update-json.ts';

/** The batches of all tenants. A record is changed only by `update`, which reads, decides and writes by compare-and-set. */
export interface BatchStore {
  /**
   * Writes open marker, then record, both create-only. It succeeds once the record stands, and then makes sure of the marker;
   * finishing a creation that another call began is no error.
   */
  create(record: BatchRecord): Promise<void>;
  /** The record; null when unknown or another tenant's. */
  get(tenant: string, id: string): Promise<BatchRecord | null>;
  /**
   * Reads the record, asks `change` for the next one and writes it if nobody wrote meanwhile, else begins again. When
   * `change` answers null nothing is written. Answers the record as it now stands; null when there is none.
   * `change` may run several times and must be pure.
   */
  update(tenant: string, id: string, change: (found: BatchRecord) => BatchRecord | null): Promise<BatchRecord | null>;
  /** One page, newest first; `after` is exclusive, and may be a batch that was deleted in the last 30 days. */
  list(
    tenant: string,
    query: { limit: number; after: string | null; filter?: BatchFilter; signal?: AbortSignal },
  ): Promise<Page<BatchRecord> | 'unknown_cursor'>;
  /** Removes the record of a batch that has ended; false when there is none. Its id stays a known cursor, and no create brings it back. */
  delete(tenant: string, id: string): Promise<boolean>;
  /** Ids of the batches that run lines of this one again, newest first. */
  retriesOf(tenant: string, id: string): Promise<string[]>;
  /** Whether a batch of this id was deleted in the last 30 days. */
  isDeleted(tenant: string, id: string): Promise<boolean>;
  /** Markers of batches that have not ended, with the input files that they name. */
  listOpen(): AsyncIterable<OpenBatch>;
  /** The same without the input files: one call for a thousand of them. */
  listOpenMarkers(): AsyncIterable<OpenMarker>;
  /** How many batches of a tenant have not ended; counts no further than `most`. */
  countOpen(tenant: string, most: number): Promise<number>;
  /** Writes the open marker where there is none. */
  markOpen(tenant: string, id: string, inputFileId: string): Promise<void>;
  /** Removes the open marker, the last act of a batch. */
  removeOpen(tenant: string, id: string): Promise<void>;
  /** Which lines of open shards have an outcome. */
  readonly tallies: TallyStore;

  /**
   * Idempotent create. `claim` writes `entry` under the hash where there is none, or one for which `isPast`, and answers null; else
   * it answers the entry found, which may be `entry` itself (a write that was repeated). Of several at once one writes.
   * `put` replaces whatever is there.
   */
  claimIdempotency(
    tenant: string,
    hash: string,
    entry: IdempotencyEntry,
    isPast?: (found: IdempotencyEntry) => boolean,
  ): Promise<IdempotencyEntry | null>;
  putIdempotency(tenant: string, hash: string, entry: IdempotencyEntry): Promise<void>;
  getIdempotency(tenant: string, hash: string): Promise<IdempotencyEntry | null>;
  /** Changes an entry, if there is one, by compare-and-set (see `updateJson`). */
  updateIdempotency(tenant: string, hash: string, change: (found: IdempotencyEntry) => IdempotencyEntry | null): Promise<void>;
}

/** What a list is narrowed to. Times are Unix seconds, both exclusive. */
export interface BatchFilter {
  /** Null where every batch does. */
  matches: ((batch: Batch) => boolean) | null;
  createdAfter: number | null;
  createdBefore: number | null;
}

/** The name of an open marker; `since` is when it was written. */
export interface OpenMarker {
  tenant: string;
  id: string;
  since: Date;
}

/** What an open marker says. */
export interface OpenBatch extends OpenMarker {
  inputFileId: string;
}

/** The whole first record of a batch made under a key, and the hash of the request body that made it. */
export interface IdempotencyEntry {
  bodyHash: string;
  createdAtMs: number;
  record: BatchRecord;
  /**
   * `refused`: a later create with this body was refused, so its retries must not find this one. `unanswered`: the client of this
   * create may not know its batch.
   */
  state: 'made' | 'refused' | 'unanswered';
}

const EVERY_BATCH: BatchFilter = { matches: null, createdAfter: null, createdBefore: null };

/** The batches in a bucket; `onMarkerLeft` gets the failure to make sure of the open marker of a new batch. */
export function createBatchStore({
  store,
  onMarkerLeft = () => undefined,
}: {
  store: ObjectStore;
  onMarkerLeft?: (batchId: string, error: unknown) => void;
}): BatchStore {
  const openMarkers = createOpenMarkers(store);

  async function get(tenant: string, id: string): Promise<BatchRecord | null> {
    return await getJson<BatchRecord>(store, keys.batch(tenant, id));
  }

  async function getIdempotency(tenant: string, hash: string): Promise<IdempotencyEntry | null> {
    return await getJson<IdempotencyEntry>(store, keys.idempotency(tenant, hash));
  }

  async function isDeleted(tenant: string, id: string): Promise<boolean> {
    return (await store.stat(keys.tombstone(tenant, id))) !== null;
  }

  async function retriesOf(tenant: string, id: string): Promise<string[]> {
    const prefix = keys.retries(tenant, id);
    const ids: string[] = [];
    for await (const { key } of store.list(prefix)) ids.push(key.slice(prefix.length));
    return ids;
  }

  async function isKnown(tenant: string, id: string): Promise<boolean> {
    return (await store.stat(keys.batch(tenant, id))) !== null || (await isDeleted(tenant, id));
  }

  /** Keys of records, newest first. The ids tell when the batches were made. */
  async function* listKeys(
    tenant: string,
    { after, filter, pageSize }: { after: string | null; filter: BatchFilter; pageSize: number },
  ): AsyncIterable<string> {
    const prefix = keys.batches(tenant);
    for await (const { key } of store.list(prefix, { startAfter: after === null ? '' : keys.batch(tenant, after), pageSize })) {
      const createdAt = Math.floor(idTimeMs(key.slice(prefix.length)) / 1000);
      if (filter.createdAfter !== null && createdAt <= filter.createdAfter) return;
      if (filter.createdBefore === null || createdAt < filter.createdBefore) yield key;
    }
  }

  return {
    get,
    getIdempotency,
    listOpen: () => openMarkers.list(),
    listOpenMarkers: openMarkers.listNames,
    markOpen: openMarkers.create,
    tallies: createTallyStore(store),

    async create(record) {
      const { tenant, batch } = record;
      // The marker first: a record without one would never be started if this process died here.
      await openMarkers.create(tenant, batch.id, batch.input_file_id);
      const retryOf = batch.nightshift?.retry_of;
      if (retryOf !== undefined) await store.create(keys.retry(tenant, retryOf, batch.id), Buffer.alloc(0));
      await store.create(keys.batch(tenant, batch.id), toJsonBytes(record));
      // And again: the sweep takes a marker that has had no record for an hour, and this process may have stood still for as long.
      // The record is the promise, so a failure here is no failure of the creation.
      await openMarkers.create(tenant, batch.id, batch.input_file_id).catch((error: unknown) => onMarkerLeft(batch.id, error));
    },

    update: async (tenant, id, change) => await updateJson(store, keys.batch(tenant, id), change),

    async list(tenant, { limit, after, filter = EVERY_BATCH, signal }) {
      if (after !== null && !(await isKnown(tenant, after))) return 'unknown_cursor';
      const { matches } = filter;
      // With a condition most records may be others.
      const atLeast = matches === null ? 1 : READS_AT_A_TIME;
      const found = await firstMapped(
        listKeys(tenant, { after, filter, pageSize: matches === null ? Math.min(limit + 1, 1000) : 1000 }),
        { count: limit + 1, limit: READS_AT_A_TIME, atLeast },
        async (key) => {
          signal?.throwIfAborted();
          const record = await getJson<BatchRecord>(store, key);
          // One damaged record must not take the list of its tenant; a read of that batch alone is a 500.
          return record !== null && 'batch' in record && (matches === null || matches(record.batch)) ? record : null;
        },
      );
      return { data: found.slice(0, limit), hasMore: found.length > limit };
    },

    async delete(tenant, id) {
      if ((await store.stat(keys.batch(tenant, id))) === null) return false;
      // The tombstone first: who finds no record any more finds it.
      await store.create(keys.tombstone(tenant, id), Buffer.alloc(0));
      const retries = (await retriesOf(tenant, id)).map((by) => keys.retry(tenant, id, by));
      await store.remove([keys.batch(tenant, id), ...retries]);
      return true;
    },

    isDeleted,
    retriesOf,

    async countOpen(tenant, most) {
      let count = 0;
      for await (const _ of store.list(keys.opens(tenant), { pageSize: Math.min(most, 1000) })) if (++count >= most) break;
      return count;
    },

    async removeOpen(tenant, id) {
      await store.remove([keys.open(tenant, id)]);
    },

    async claimIdempotency(tenant, hash, entry, isPast = () => false) {
      const key = keys.idempotency(tenant, hash);
      for (;;) {
        if ((await store.create(key, toJsonBytes(entry))) === 'created') return null;
        const standing = await updateJson<IdempotencyEntry>(store, key, (found) => (isPast(found) ? entry : null));
        if (standing === entry) return null;
        // It can only be missing now if the sweep has just removed it for its age.
        if (standing !== null) return standing;
      }
    },

    async updateIdempotency(tenant, hash, change) {
      await updateJson(store, keys.idempotency(tenant, hash), change);
    },

    async putIdempotency(tenant, hash, entry) {
      await store.put(keys.idempotency(tenant, hash), toJsonBytes(entry));
    },
  };
}
