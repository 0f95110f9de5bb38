import type { File } from '../domain/file.ts';
import { idTimeMs, isUploadId } from '../domain/ids.ts';
import { UPLOAD_LIFE_SECONDS } from '../domain/upload.ts';
import { mapInOrder } from './in-order.ts';
import { getJson, READS_AT_A_TIME } from './json-objects.ts';
import { keys, ownerOf, prefixes } from './keys.ts';
import type { UploadMarker } from './multipart-writer.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';
import { createRecent } from './recent.ts';

/**
 * What the sweep removes from the bucket. Each call is idempotent, safe at any moment, calls `beat` as it goes and answers
 * how many things it removed. An object that cannot be removed is left for a later sweep and keeps no other one back. `openInputs` are the keys `<tenant>/<file id>` of input files that an open batch still reads;
 * `nowMs` (Unix milliseconds) is a time before they were listed, so that no batch which began since can lose its input.
 */
export interface Housekeeping {
  /** Expired file records become tombstones; their bytes go unless an open batch reads them, or are left to `removeDeletedContent`. */
  removeExpiredFiles(nowMs: number, openInputs: ReadonlySet<string>, beat: () => void): Promise<number>;
  /** Bytes of files deleted more than a minute ago that no open batch reads; the tombstones themselves 30 days later, as they are cursors. */
  removeDeletedContent(nowMs: number, openInputs: ReadonlySet<string>, beat: () => void): Promise<number>;
  /** Aborts multipart uploads whose marker is older than `maxAgeMs`, removes content that neither a record nor an open batch needs, then the marker. */
  removeStaleUploads(nowMs: number, maxAgeMs: number, openInputs: ReadonlySet<string>, beat: () => void): Promise<number>;
  /** Resumable uploads (`/v1/uploads`) that expired more than an hour ago, with all their parts. */
  removeExpiredUploads(nowMs: number, beat: () => void): Promise<number>;
  /** Batch ids that have anything under `work/`. To be listed before the open markers are, so that nothing alive is taken. */
  listWork(): Promise<string[]>;
  /** Removes everything under `work/<batch>/`. */
  removeWork(batchId: string, beat: () => void): Promise<number>;
  /** Idempotency entries older than `maxAgeMs`. */
  removeOldIdempotency(nowMs: number, maxAgeMs: number, beat: () => void): Promise<number>;
}

/** A deletion writes the tombstone and then removes the record; one younger than this may be between the two. */
const DELETION_MS = 60_000;
/** How long a deleted file's id still works as a cursor. */
const CURSOR_LIFE_MS = 30 * 24 * 3_600_000;
/** An upload may be completed until it expires; one that is being put together then still needs its parts. */
const COMPLETING_MS = 3_600_000;
const REMEMBERED = 200_000;
/** A bucket lets nobody remove an object that is being read, and says so only by silence: not asked again for so long. */
const REFUSED_REST_MS = 10 * 60_000;
/** Objects of a thousand that may fail, each after a long wait, before the others are left to a later sweep as well. */
const FAILURES_BORNE = 3;
/** Time in which one sweep begins to remove contents: many that are being read must not use up the time of the whole sweep. */
const REMOVING_MS = 60_000;

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
  // So that a sweep a minute reads what is new, and not every record and tombstone again.
  const expiries = createRecent<{ atSeconds: number | null }>(REMEMBERED);
  const emptied = createRecent<true>(REMEMBERED);
  /** When the bucket last failed to remove the content of a tombstone, by `monotonicMs`. */
  const refusedMs = createRecent<number>(REMEMBERED);

  /** What `work` on one object answers; null when it failed. */
  async function tried<T>(key: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      onFailure(key, error);
      return null;
    }
  }

  /** Whether the work on one object was done. */
  async function isDone(key: string, work: () => Promise<void>): Promise<boolean> {
    return (await tried(key, async () => (await work(), true))) === true;
  }

  async function expiryOf(key: string): Promise<number | null> {
    const known = expiries.get(key);
    if (known !== undefined) return known.atSeconds;
    const file = await getJson<File>(store, key);
    if (file === null) return null;
    expiries.set(key, { atSeconds: file.expires_at });
    return file.expires_at;
  }

  /** Removes keys together; one at a time where that fails, so that one object keeps no other back. Answers how many are gone. */
  async function removeAll(all: readonly string[], beat: () => void): Promise<number> {
    try {
      await store.remove(all);
      return all.length;
    } catch {
      let [removed, failures] = [0, 0];
      for (const key of all) {
        beat();
        if (await isDone(key, async () => await store.remove([key]))) removed += 1;
        else if (++failures === FAILURES_BORNE) break;
      }
      return removed;
    }
  }

  async function removeListed(listed: AsyncIterable<ListedObject>, beat: () => void): Promise<number> {
    let removed = 0;
    let some: string[] = [];
    const flush = async () => {
      removed += await removeAll(some, beat);
      some = [];
      beat();
    };
    for await (const { key } of listed) {
      some.push(key);
      if (some.length === 1000) await flush();
    }
    if (some.length > 0) await flush();
    return removed;
  }

  async function* olderThan(prefix: string, timeMs: number): AsyncIterable<ListedObject> {
    for await (const object of store.list(prefix)) if (object.lastModified.getTime() <= timeMs) yield object;
  }

  async function* expiredUploads(nowMs: number): AsyncIterable<ListedObject> {
    const bornBeforeMs = nowMs - UPLOAD_LIFE_SECONDS * 1000 - COMPLETING_MS;
    // The id tells its time, so records are not read, and parts whose record is gone already are found as well.
    for await (const object of store.list(prefixes.resumable)) {
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
    async removeExpiredFiles(nowMs, openInputs, beat) {
      let removed = 0;
      const startedMs = monotonicMs();
      const listed = store.list(prefixes.files);
      const read = async ({ key }: ListedObject) => ({ key, atSeconds: await tried(key, async () => await expiryOf(key)) });
      for await (const { key, atSeconds } of mapInOrder(listed, READS_AT_A_TIME, read)) {
        beat();
        if (atSeconds === null || atSeconds * 1000 > nowMs) continue;
        const { tenant, id } = ownerOf(key);
        const isRemoved = await isDone(key, async () => {
          await store.create(keys.tombstone(tenant, id), Buffer.alloc(0));
          await store.remove([key]);
        });
        removed += isRemoved ? 1 : 0;
        // What cannot be removed now has its tombstone.
        const mayTry = isRemoved && !openInputs.has(`${tenant}/${id}`) && monotonicMs() - startedMs < REMOVING_MS;
        if (mayTry) await isDone(keys.content(tenant, id), async () => await store.remove([keys.content(tenant, id)]));
      }
      return removed;
    },

    async removeDeletedContent(nowMs, openInputs, beat) {
      let removed = 0;
      const startedMs = monotonicMs();
      const mayTry = (key: string) =>
        monotonicMs() - startedMs < REMOVING_MS && monotonicMs() - (refusedMs.get(key) ?? -Infinity) >= REFUSED_REST_MS;

      async function removeOf({ tenant, id }: { tenant: string; id: string }): Promise<void> {
        const content = keys.content(tenant, id);
        const left = (await store.stat(content)) === null ? 0 : 1;
        // A deletion that died half-way left the record too. The content goes by itself: somebody may be reading it.
        await store.remove([keys.file(tenant, id)]);
        if (left > 0) await store.remove([content]);
        removed += left;
      }

      const empty = async (tombstone: ListedObject) => {
        const { key } = tombstone;
        const owner = ownerOf(key);
        const isRead = openInputs.has(`${owner.tenant}/${owner.id}`);
        if (isRead || emptied.get(key) === true) return { ...tombstone, isEmpty: !isRead };
        const isEmpty = mayTry(key) && (await isDone(key, async () => await removeOf(owner)));
        if (isEmpty) emptied.set(key, true);
        else if (mayTry(key)) refusedMs.set(key, monotonicMs());
        return { ...tombstone, isEmpty };
      };
      const listed = olderThan(prefixes.tombstones, nowMs - DELETION_MS);
      for await (const { key, lastModified, isEmpty } of mapInOrder(listed, READS_AT_A_TIME, empty)) {
        beat();
        if (!isEmpty || lastModified.getTime() > nowMs - CURSOR_LIFE_MS) continue;
        removed += (await isDone(key, async () => await store.remove([key]))) ? 1 : 0;
      }
      return removed;
    },

    async removeStaleUploads(nowMs, maxAgeMs, openInputs, beat) {
      let removed = 0;
      const young: string[] = [];
      const staleMs = nowMs - maxAgeMs;
      // Another upload may be writing the same object just now: a second attempt to publish.
      const isClaimed = async (contentKey: string) => {
        for await (const marker of mapInOrder(young, READS_AT_A_TIME, (key) => getJson<UploadMarker>(store, key))) {
          if (marker?.key === contentKey) return true;
        }
        return false;
      };
      const stale: string[] = [];
      for await (const { key, lastModified } of store.list(prefixes.uploads)) {
        (lastModified.getTime() <= staleMs ? stale : young).push(key);
      }
      for await (const { key, marker } of mapInOrder(stale, READS_AT_A_TIME, async (key) => ({
        key,
        marker: await tried(key, async () => await getJson<UploadMarker>(store, key)),
      }))) {
        beat();
        if (marker === null) continue;
        const isRemoved = await isDone(marker.key, async () => {
          if (marker.uploadId !== null) await store.abortMultipart(marker.key, marker.uploadId);
          for (const upload of await store.listMultipart(marker.key)) {
            if (upload.since.getTime() <= staleMs) await store.abortMultipart(marker.key, upload.uploadId);
          }
          if (marker.key.startsWith(prefixes.content)) await removeUnclaimedContent(marker.key, openInputs, isClaimed);
          await store.remove([key]);
        });
        removed += isRemoved ? 1 : 0;
      }
      return removed;
    },

    removeExpiredUploads: (nowMs, beat) => removeListed(expiredUploads(nowMs), beat),

    async listWork() {
      const ids: string[] = [];
      for await (const folder of store.listFolders(prefixes.work)) ids.push(folder.slice(0, -1));
      return ids;
    },

    removeWork: (batchId, beat) => removeListed(store.list(keys.work(batchId)), beat),
    removeOldIdempotency: (nowMs, maxAgeMs, beat) => removeListed(olderThan(prefixes.idempotency, nowMs - maxAgeMs), beat),
  };
}
