import type { ObjectStore } from './object-store.ts';
/**
 * What the sweep removes from the bucket. Each call is idempotent, safe at any moment, calls `beat` as it goes and answers
 * how many things it removed. `openInputs` are the keys `<tenant>/<file id>` of input files that an open batch still reads.
 */
export interface Housekeeping {
  /** Expired file records become tombstones; their bytes go unless an open batch reads them. */
  removeExpiredFiles(nowMs: number, openInputs: ReadonlySet<string>, beat: () => void): Promise<number>;
  /** Bytes of deleted files that no open batch reads; then, once they are gone and old, the tombstones. */
  removeDeletedContent(nowMs: number, openInputs: ReadonlySet<string>, beat: () => void): Promise<number>;
  /** Aborts multipart uploads whose marker is older than `maxAgeMs`, removes content without a record, then the marker. */
  removeStaleUploads(nowMs: number, maxAgeMs: number, beat: () => void): Promise<number>;
  /** Batch ids that have anything under `work/`. To be listed before the open markers are, so that nothing alive is taken. */
  listWork(): Promise<string[]>;
  /** Removes everything under `work/<batch>/`. */
  removeWork(batchId: string, beat: () => void): Promise<number>;
  /** Idempotency entries older than `maxAgeMs`. */
  removeOldIdempotency(nowMs: number, maxAgeMs: number, beat: () => void): Promise<number>;
}

/** Housekeeping in a bucket. */
export function createHousekeeping(_options: { store: ObjectStore }): Housekeeping {
  throw new Error('not written yet');
}
