import type { ObjectStore } from './object-store.ts';
import type { BatchRecord } from '../domain/batch.ts';
import type { Page } from './file-store.ts';

/** The batches of all tenants. A record is changed only by `update`, which reads, decides and writes by compare-and-set. */
export interface BatchStore {
  /** Writes open marker, then record, both create-only; finishing a creation that somebody began is no error. */
  create(record: BatchRecord): Promise<void>;
  /** The record; null when unknown or another tenant's. */
  get(tenant: string, id: string): Promise<BatchRecord | null>;
  /**
   * Reads the record, asks `change` for the next one and writes it if nobody wrote meanwhile, else begins again. When
   * `change` answers null nothing is written. Answers the record as it now stands; null when there is none.
   * `change` may run several times and must be pure.
   */
  update(tenant: string, id: string, change: (found: BatchRecord) => BatchRecord | null): Promise<BatchRecord | null>;
  /** One page, newest first; `after` is exclusive. */
  list(tenant: string, query: { limit: number; after: string | null }): Promise<Page<BatchRecord> | 'unknown_cursor'>;
  /** Markers of batches that have not ended. */
  listOpen(): AsyncIterable<OpenBatch>;
  /** Removes the open marker, the last act of a batch. */
  removeOpen(tenant: string, id: string): Promise<void>;

  /**
   * Idempotent create. `claim` writes `entry` create-only under the hash and answers null, or answers the entry found.
   * `put` replaces whatever is there.
   */
  claimIdempotency(tenant: string, hash: string, entry: IdempotencyEntry): Promise<IdempotencyEntry | null>;
  putIdempotency(tenant: string, hash: string, entry: IdempotencyEntry): Promise<void>;
  getIdempotency(tenant: string, hash: string): Promise<IdempotencyEntry | null>;
}

/** What an open marker says; `since` is when it was written. */
export interface OpenBatch {
  tenant: string;
  id: string;
  inputFileId: string;
  since: Date;
}

/** The whole first record of a batch made under a key, and the hash of the request body that made it. */
export interface IdempotencyEntry {
  bodyHash: string;
  createdAtMs: number;
  record: BatchRecord;
}

/** The batches in a bucket. */
export function createBatchStore(_options: { store: ObjectStore }): BatchStore {
  throw new Error('not written yet');
}
