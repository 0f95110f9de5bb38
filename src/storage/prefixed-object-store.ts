import { type ObjectStore, ObjectStoreError } from './object-store.ts';

/**
 * A part of a bucket as a store of its own: every key gets `prefix`, which ends in `/`, on its way to the bucket, and loses it on its
 * way back. It needs no right on the bucket beyond its prefix.
 */
export function withKeyPrefix(store: ObjectStore, prefix: string): ObjectStore {
  const full = (key: string) => prefix + key;

  /** One listing below the prefix, because a question about the bucket itself is refused to credentials of a part of it. */
  async function ping(): Promise<void> {
    for await (const _ of store.list(prefix, { pageSize: 1 })) return;
  }

  return {
    get: async (key, range) => await store.get(full(key), range),
    open: async (key, range) => await store.open(full(key), range),
    stat: async (key) => await store.stat(full(key)),
    put: async (key, body) => await store.put(full(key), body),
    create: async (key, body) => await store.create(full(key), body),
    replace: async (key, body, etag) => await store.replace(full(key), body, etag),

    async *list(below, { startAfter, ...options } = {}) {
      const after = startAfter === undefined || startAfter === '' ? {} : { startAfter: full(startAfter) };
      for await (const object of store.list(full(below), { ...options, ...after }))
        yield { ...object, key: object.key.slice(prefix.length) };
    },

    listFolders: (below) => store.listFolders(full(below)),
    remove: async (keys) => await store.remove(keys.map(full)),
    startMultipart: async (key) => await store.startMultipart(full(key)),
    uploadPart: async (key, uploadId, part, body) => await store.uploadPart(full(key), uploadId, part, body),
    copyPart: async (key, uploadId, part, source, range) => await store.copyPart(full(key), uploadId, part, full(source), range),
    listParts: async (key, uploadId) => await store.listParts(full(key), uploadId),
    completeMultipart: async (key, uploadId, parts) => await store.completeMultipart(full(key), uploadId, parts),
    abortMultipart: async (key, uploadId) => await store.abortMultipart(full(key), uploadId),
    listMultipart: async (key) => await store.listMultipart(full(key)),
    ping,

    async ensureBucket() {
      try {
        await ping();
      } catch (error) {
        if (!(error instanceof ObjectStoreError) || !/NoSuchBucket|does not exist/.test(error.message)) throw error;
        await store.ensureBucket();
      }
    },

    close: () => store.close(),
  };
}
