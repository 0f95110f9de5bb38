import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'minio';
import { createEmbeddedObjectStore, databasePath } from '../../src/storage/embedded/embedded-object-store.ts';
import { openDatabase } from '../../src/storage/embedded/sqlite.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { ACCESS, type House } from './house.ts';

/** The bucket beneath a house, past all links. */
export interface Bucket {
  keys(prefix: string): Promise<string[]>;
  read(key: string): Promise<Buffer>;
  /** Files of multipart uploads that were neither completed nor aborted, on MinIO's disk, or their keys in the embedded store: no listing shows them all. */
  halfUploads(): Promise<string[]>;
}

type BucketPlace = Pick<House, 'minioPort' | 'minioDirectory'> & Partial<Pick<House, 'storeFolder'>>;

const BUCKET = 'nightshift';

export function bucketOf({ minioPort, minioDirectory, storeFolder = null }: BucketPlace): Bucket {
  if (storeFolder !== null) return folderOf(storeFolder);
  const client = new Client({ endPoint: '127.0.0.1', port: minioPort, useSSL: false, ...ACCESS });
  return {
    async keys(prefix) {
      const found: string[] = [];
      for await (const { name } of client.listObjectsV2(BUCKET, prefix, true)) if (name !== undefined) found.push(name);
      return found;
    },
    async read(key) {
      const chunks: Buffer[] = [];
      for await (const chunk of await client.getObject(BUCKET, key)) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    async halfUploads() {
      const found = await readdir(join(minioDirectory, '.minio.sys', 'multipart'), { recursive: true, withFileTypes: true });
      return found.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    },
  };
}

/** Each call opens the store anew, because a house may be gone before a test is. */
function folderOf(folder: string): Bucket {
  async function using<T>(work: (store: ObjectStore) => Promise<T>): Promise<T> {
    const store = createEmbeddedObjectStore({ folder });
    return await work(store).finally(() => store.close());
  }
  return {
    keys: async (prefix) =>
      await using(async (store) => {
        const found: string[] = [];
        for await (const { key } of store.list(prefix)) found.push(key);
        return found;
      }),
    read: async (key) =>
      await using(async (store) => {
        const found = await store.get(key);
        if (found === null) throw new Error(`there is no object ${key}`);
        return found.body;
      }),
    async halfUploads() {
      const database = openDatabase(databasePath(folder));
      const found = database.prepare('SELECT key FROM uploads').all();
      database.close();
      return await Promise.resolve(found.map((row) => String(row['key'])));
    },
  };
}
