import type { Readable } from 'node:stream';
import type { UploadRecord } from '../domain/upload.ts';
import type { ContentWriter } from './file-store.ts';
import { getJson, toJsonBytes } from './json-objects.ts';
import { keys } from './keys.ts';
import { arePartsEven, createMultipartWriter } from './multipart-writer.ts';
import type { ObjectStore } from './object-store.ts';
import type { PartPool } from './part-pool.ts';
import { bytesBelow } from './stored-bytes.ts';
import { updateJson } from './update-json.ts';

/**
 * The resumable uploads of all tenants: a record each, and every part an object of its own, because clients send parts of any
 * size in any order and say only at the end which place each one takes, while S3 wants to know it beforehand and takes
 * none below 5 MiB. What nobody completes is removed by housekeeping.
 */
export interface UploadStore {
  /** Writes the record of a new upload. */
  create(tenant: string, record: UploadRecord): Promise<void>;
  /** The record; null when unknown, removed or another tenant's. */
  get(tenant: string, id: string): Promise<UploadRecord | null>;
  /** Changes the record by compare-and-set (see `updateJson`). */
  update(tenant: string, id: string, change: (found: UploadRecord) => UploadRecord | null): Promise<UploadRecord | null>;
  /** Begins a part whose bytes are then written in order; it exists once they are complete. */
  beginPart(tenant: string, id: string, part: string): ContentWriter;
  /** The parts there are: bytes by part id. */
  listParts(tenant: string, id: string): Promise<ReadonlyMap<string, number>>;
  /** Appends parts to a content, in their order (see `ContentWriter.append`). Calls `onPart` before each of them. */
  appendParts(
    tenant: string,
    id: string,
    parts: readonly { id: string; bytes: number }[],
    content: ContentWriter,
    onPart: (id: string) => Promise<void>,
  ): Promise<void>;
  /** Opens the bytes of a part; null when it is gone. */
  openPart(tenant: string, id: string, part: string): Promise<Readable | null>;
  removePart(tenant: string, id: string, part: string): Promise<void>;
  /** Bytes of all parts of a tenant. */
  storedBytes(tenant: string): Promise<number>;
  /** Removes whatever parts there are. */
  removeParts(tenant: string, id: string): Promise<void>;
}

/** The uploads in a bucket; `newNonce` makes names no other process has. */
export function createUploadStore({
  store,
  newNonce,
  parts,
}: {
  store: ObjectStore;
  newNonce: () => string;
  parts: PartPool;
}): UploadStore {
  async function listParts(tenant: string, id: string): Promise<Map<string, number>> {
    const prefix = keys.resumableParts(tenant, id);
    const found = new Map<string, number>();
    for await (const { key, size } of store.list(prefix)) found.set(key.slice(prefix.length), size);
    return found;
  }

  return {
    listParts,

    async create(tenant, record) {
      // Whether it existed is not asked: that can only be the echo of this very call, the id being random.
      await store.create(keys.resumable(tenant, record.upload.id), toJsonBytes(record));
    },

    get: async (tenant, id) => await getJson<UploadRecord>(store, keys.resumable(tenant, id)),
    update: async (tenant, id, change) => await updateJson(store, keys.resumable(tenant, id), change),
    beginPart: (tenant, id, part) => createMultipartWriter({ store, key: keys.resumablePart(tenant, id, part), nonce: newNonce(), parts }),
    async appendParts(tenant, id, all, content, onPart) {
      const asPart = arePartsEven(all.map(({ bytes }) => bytes));
      for (const part of all) {
        await onPart(part.id);
        await content.append(keys.resumablePart(tenant, id, part.id), part.bytes, { asPart });
      }
    },
    openPart: async (tenant, id, part) => (await store.open(keys.resumablePart(tenant, id, part)))?.body ?? null,
    removePart: async (tenant, id, part) => await store.remove([keys.resumablePart(tenant, id, part)]),

    storedBytes: async (tenant) => await bytesBelow(store, keys.resumables(tenant)),

    async removeParts(tenant, id) {
      const found = await listParts(tenant, id);
      await store.remove([...found.keys()].map((part) => keys.resumablePart(tenant, id, part)));
    },
  };
}
