import type { File } from '../domain/file.ts';
import { idTimeMs, isUploadId } from '../domain/ids.ts';
import { UPLOAD_LIFE_SECONDS } from '../domain/upload.ts';
import { mapInOrder } from './in-order.ts';
import { getJson, READS_AT_A_TIME } from './json-objects.ts';
import { keys, ownerOf, prefixes } from './keys.ts';
import type { UploadMarker } from './upload-marker.ts';
import { type ListedObject, type ObjectStore, ObjectStoreError } from './object-store.ts';
import { createRecent } from './recent.ts';
import { indexKeys } from './result-index.ts';
import { type Cleaned, createStretches, type Stretch } from './stretches.ts';

/**
 * What the sweep removes from the bucket. Each call is idempotent and safe at any moment. An object that cannot be removed is left
 * for a later sweep and keeps no other one back. `openInputs` are the keys `<tenant>/<file id>` of input files that an open batch
 * still reads; `nowMs` (Unix milliseconds) is a time before they were listed, so that no batch which began since can lose its input.
 */
export interface Housekeeping {
  /** Expired file records become tombstones; their bytes go unless an open batch reads them, or are left to `removeDeletedContent`. */
  removeExpiredFiles(nowMs: number, openInputs: ReadonlySet<string>, stretch: Stretch): Promise<Cleaned>;
  /** Bytes of files deleted more than a minute ago that no open batch reads; the tombstones themselves 30 days later, as they are cursors. */
  removeDeletedContent(nowMs: number, openInputs: ReadonlySet<string>, stretch: Stretch): Promise<Cleaned>;
  /** Aborts multipart uploads whose marker is older than `maxAgeMs`, removes content that neither a record nor an open batch needs, then the marker. */
  removeStaleUploads(nowMs: number, maxAgeMs: number, openInputs: ReadonlySet<string>, stretch: Stretch): Promise<Cleaned>;
  /** Resumable uploads (`/v1/uploads`) that expired more than an hour ago, with all their parts. */
  removeExpiredUploads(nowMs: number, stretch: Stretch): Promise<Cleaned>;
  /** Batch ids that have anything under `work/`, in byte order. To be listed before the open markers are, so that nothing alive is taken. */
  listWork(): Promise<string[]>;
  /** Removes everything under `work/` of these batches, which are in byte order. */
  removeWork(batchIds: readonly string[], stretch: Stretch): Promise<Cleaned>;
  /** What a process left that ended while it looked at the store. */
  removeOldProbes(nowMs: number, stretch: Stretch): Promise<Cleaned>;
  /** Idempotency entries older than `maxAgeMs`. */
  removeOldIdempotency(nowMs: number, maxAgeMs: number, stretch: Stretch): Promise<Cleaned>;
}

/** A deletion writes the tombstone and then removes the record; one younger than this may be between the two. */
const DELETION_MS = 60_000;
/** How long a deleted file's id still works as a cursor. */
const CURSOR_LIFE_MS = 30 * 24 * 3_600_000;
/** An upload may be completed until it expires; one that is being put together then still needs its parts. */
const COMPLETING_MS = 3_600_000;
/** A process looks at its store for seconds. */
const PROBE_AGE_MS = 3_600_000;
const REMEMBERED = 200_000;
/** A bucket lets nobody remove an object that is being read, and says so only by silence: not asked again for so long. */
const REFUSED_REST_MS = 10 * 60_000;
/** Batches whose work is removed at a time. */
const WORK_AT_A_TIME = 4;

/** Housekeeping in a bucket; `onFailure` hears of each object that could not be looked after. `monotonicMs` measures durations. */
export function createHousekeeping({
  store,
  onFailure = () => undefined,
  monotonicMs = () => performance.now(),
}: {
  store: ObjectStore;
  onFailure?: (key: string, error: unknown) => void;
  monotonicMs?: () => number;
}): Housekeeping {
  const { tried, isDone, inOrder, removeListed } = createStretches({ store, onFailure });
  // So that a sweep a minute reads what is new, and not every record and tombstone again.
  const expiries = createRecent<{ atSeconds: number | null }>(REMEMBERED);
  const emptied = createRecent<true>(REMEMBERED);
  /** When the bucket last failed to remove the content of a tombstone, by `monotonicMs`. */
  const refusedMs = createRecent<number>(REMEMBERED);

  async function expiryOf(key: string): Promise<number | null> {
    const known = expiries.get(key);
    if (known !== undefined) return known.atSeconds;
    const file = await getJson<File>(store, key);
    if (file === null) return null;
    expiries.set(key, { atSeconds: file.expires_at });
    return file.expires_at;
  }

  async function* olderThan(prefix: string, timeMs: number, startAfter: string): AsyncIterable<ListedObject> {
    for await (const object of store.list(prefix, { startAfter })) if (object.lastModified.getTime() <= timeMs) yield object;
  }

  async function* expiredUploads(nowMs: number, startAfter: string): AsyncIterable<ListedObject> {
    const bornBeforeMs = nowMs - UPLOAD_LIFE_SECONDS * 1000 - COMPLETING_MS;
    // The id tells its time, so records are not read, and parts whose record is gone already are found as well.
    for await (const object of store.list(prefixes.resumable, { startAfter })) {
      const { id } = ownerOf(object.key);
      if (isUploadId(id) && idTimeMs(id) <= bornBeforeMs) yield object;
    }
  }

  /** Removes bytes that the marker of an unfinished upload points at, if nothing makes them count. */
  async function removeUnclaimedContent(
    contentKey: string,
    openInputs: ReadonlySet<string>,
    isClaimed: (contentKey: string) => Promise<boolean>,
  ): Promise<void> {
    const { tenant, id } = ownerOf(contentKey);
    // Of a deleted file too: a paused process may have written them again after `removeDeletedContent` had been there.
    if (openInputs.has(`${tenant}/${id}`) || (await store.stat(keys.file(tenant, id))) !== null || (await isClaimed(contentKey))) return;
    await store.remove([contentKey]);
  }

  return {
    async removeExpiredFiles(nowMs, openInputs, stretch) {
      let removed = 0;
      const listed = store.list(prefixes.files, { startAfter: stretch.after });
      const read = async ({ key }: ListedObject) => await tried(key, async () => await expiryOf(key));
      const isAtEnd = await inOrder(listed, READS_AT_A_TIME, read, stretch, async (atSeconds, { key }) => {
        if (atSeconds === null || atSeconds * 1000 > nowMs) return;
        const { tenant, id } = ownerOf(key);
        const isRemoved = await isDone(key, async () => {
          await store.create(keys.tombstone(tenant, id), Buffer.alloc(0));
          await store.remove([key, ...indexKeys(tenant, id)]);
        });
        removed += isRemoved ? 1 : 0;
        // What cannot be removed now has its tombstone.
        const mayTry = isRemoved && !openInputs.has(`${tenant}/${id}`) && !stretch.isOver();
        if (mayTry) await isDone(keys.content(tenant, id), async () => await store.remove([keys.content(tenant, id)]));
      });
      return { removed, isDone: isAtEnd };
    },

    async removeDeletedContent(nowMs, openInputs, stretch) {
      let removed = 0;
      const mayTry = (key: string) => !stretch.isOver() && monotonicMs() - (refusedMs.get(key) ?? -Infinity) >= REFUSED_REST_MS;

      async function removeOf({ tenant, id }: { tenant: string; id: string }): Promise<void> {
        const content = keys.content(tenant, id);
        const left = (await store.stat(content)) === null ? 0 : 1;
        // A deletion that died half-way left the record too. The content goes by itself: somebody may be reading it.
        await store.remove([keys.file(tenant, id), ...indexKeys(tenant, id)]);
        if (left > 0) await store.remove([content]);
        removed += left;
      }

      /** Whether nothing is left of the file but its tombstone. */
      const empty = async ({ key }: ListedObject): Promise<boolean> => {
        const owner = ownerOf(key);
        const isRead = openInputs.has(`${owner.tenant}/${owner.id}`);
        if (isRead || emptied.get(key) === true) return !isRead;
        if (!mayTry(key)) return false;
        const isEmpty = await isDone(key, async () => await removeOf(owner));
        if (isEmpty) emptied.set(key, true);
        else refusedMs.set(key, monotonicMs());
        return isEmpty;
      };
      const listed = olderThan(prefixes.tombstones, nowMs - DELETION_MS, stretch.after);
      const isAtEnd = await inOrder(listed, READS_AT_A_TIME, empty, stretch, async (isEmpty, { key, lastModified }) => {
        if (!isEmpty || lastModified.getTime() > nowMs - CURSOR_LIFE_MS) return;
        removed += (await isDone(key, async () => await store.remove([key]))) ? 1 : 0;
      });
      return { removed, isDone: isAtEnd };
    },

    async removeStaleUploads(nowMs, maxAgeMs, openInputs, stretch) {
      let removed = 0;
      const staleMs = nowMs - maxAgeMs;
      const isHeld = async ({ heldBy, uploadId }: UploadMarker) =>
        heldBy !== undefined && uploadId !== null && (await getJson<{ uploadId: string }>(store, heldBy))?.uploadId === uploadId;
      // Another upload may be writing the same object just now: a second attempt to publish. Its marker is young, or the upload is held.
      const isClaimed = async (contentKey: string) => {
        const markerOf = async (key: string) =>
          await getJson<UploadMarker>(store, key).catch((error: unknown) => {
            if (error instanceof ObjectStoreError) throw error;
            // It is torn, and claims nothing.
            return null;
          });
        const read = async ({ key, lastModified }: ListedObject) => ({ lastModified, marker: await markerOf(key) });
        for await (const { marker, lastModified } of mapInOrder(store.list(prefixes.uploads), READS_AT_A_TIME, read)) {
          if (marker?.key === contentKey && (lastModified.getTime() > staleMs || (await isHeld(marker)))) return true;
        }
        return false;
      };
      const stale = olderThan(prefixes.uploads, staleMs, stretch.after);
      const read = async ({ key }: ListedObject) => await tried(key, async () => await getJson<UploadMarker>(store, key));
      const isAtEnd = await inOrder(stale, READS_AT_A_TIME, read, stretch, async (marker, { key }) => {
        if (marker === null || (await tried(key, async () => await isHeld(marker))) !== false) return;
        const isRemoved = await isDone(marker.key, async () => {
          if (marker.uploadId !== null) await store.abortMultipart(marker.key, marker.uploadId);
          const others = (await store.listMultipart(marker.key)).filter(({ since }) => since.getTime() <= staleMs);
          if (others.length > 0 && !(await isClaimed(marker.key))) {
            for (const { uploadId } of others) await store.abortMultipart(marker.key, uploadId);
          }
          if (marker.key.startsWith(prefixes.content)) await removeUnclaimedContent(marker.key, openInputs, isClaimed);
          await store.remove([key]);
        });
        removed += isRemoved ? 1 : 0;
      });
      return { removed, isDone: isAtEnd };
    },

    removeExpiredUploads: (nowMs, stretch) => removeListed(expiredUploads(nowMs, stretch.after), stretch),

    async listWork() {
      const ids: string[] = [];
      for await (const folder of store.listFolders(prefixes.work)) ids.push(folder.slice(0, -1));
      return ids;
    },

    async removeWork(batchIds, stretch) {
      let removed = 0;
      const left = batchIds.filter((id) => id > stretch.after).map((key) => ({ key }));
      const remove = async ({ key }: { key: string }) =>
        await tried(
          keys.work(key),
          async () => await removeListed(store.list(keys.work(key)), { ...stretch, after: '', reached: () => {} }),
        );
      const isAtEnd = await inOrder(left, WORK_AT_A_TIME, remove, stretch, (cleaned) => {
        removed += cleaned?.removed ?? 0;
        // What is gone is not listed again. One of which nothing can be removed lets the others go first.
        return cleaned?.isDone === false && cleaned.removed > 0 ? 'unfinished' : 'finished';
      });
      return { removed, isDone: isAtEnd };
    },

    removeOldProbes: (nowMs, stretch) => removeListed(olderThan(prefixes.probes, nowMs - PROBE_AGE_MS, stretch.after), stretch),
    removeOldIdempotency: (nowMs, maxAgeMs, stretch) =>
      removeListed(olderThan(prefixes.idempotency, nowMs - maxAgeMs, stretch.after), stretch),
  };
}
