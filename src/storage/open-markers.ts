import type { OpenBatch, OpenMarker } from './batch-store.ts';
import { mapInOrder } from './in-order.ts';
import { getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { keys, ownerOf, prefixes } from './keys.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';
import { createRecent } from './recent.ts';

/** Bytes of the markers that a process remembers: some 100,000 with usual ids. A client chooses what stands in them. */
const REMEMBERED_BYTES = 32 * 1024 * 1024;
/** Bytes of memory of an entry besides its strings. */
const ENTRY_BYTES = 100;

/** The markers of batches that have not ended: which there are is listed every time, what one says is read once. */
export interface OpenMarkers {
  create(tenant: string, id: string, inputFileId: string): Promise<void>;
  /** With what they say; of one tenant, or of all. */
  list(tenant?: string): AsyncIterable<OpenBatch>;
  /** Of all tenants, without reading them. */
  listNames(): AsyncIterable<OpenMarker>;
}

export function createOpenMarkers(store: ObjectStore): OpenMarkers {
  const inputs = createRecent<string>(REMEMBERED_BYTES, (key, fileId) => ENTRY_BYTES + 2 * (key.length + fileId.length));

  async function read({ key, lastModified }: ListedObject): Promise<OpenBatch | null> {
    const inputFileId = inputs.get(key) ?? (await getJson<{ inputFileId: string }>(store, key))?.inputFileId;
    if (inputFileId === undefined) return null;
    inputs.set(key, inputFileId);
    return { ...ownerOf(key), inputFileId, since: lastModified };
  }

  return {
    async create(tenant, id, inputFileId) {
      await store.create(keys.open(tenant, id), toJsonBytes({ inputFileId }));
    },

    async *listNames() {
      for await (const { key, lastModified } of store.list(prefixes.open)) yield { ...ownerOf(key), since: lastModified };
    },

    async *list(tenant) {
      const listed = store.list(tenant === undefined ? prefixes.open : keys.opens(tenant));
      for await (const marker of mapInOrder(listed, READS_AT_A_TIME, read)) {
        // One that was removed since it was listed is open no more.
        if (marker !== null) yield marker;
      }
    },
  };
}
