import { randomBytes } from 'node:crypto';
import { createMinioObjectStore } from '../../src/storage/minio-object-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { Stretch } from '../../src/storage/stretches.ts';
import { minioWithBucket, type TestMinio } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';

/** A bucket of its own. */
export interface TestBucket extends AsyncDisposable {
  readonly minio: TestMinio;
  readonly name: string;
  readonly store: ObjectStore;
  /** Another client of the same bucket, through another address if given. */
  connect(options?: { endpoint?: string; bucket?: string; timeoutMs?: number; answerMs?: number }): ObjectStore;
}

/** Makes a bucket; `own` starts a MinIO for it, which a test needs that ends the process or reads the folder of MinIO. */
export async function startTestBucket(options: { own?: boolean } = {}): Promise<TestBucket> {
  const { minio, bucket: name } = await minioWithBucket(options);
  const opened: ObjectStore[] = [];
  function connect(options: { endpoint?: string; bucket?: string; timeoutMs?: number; answerMs?: number } = {}): ObjectStore {
    const { accessKey, secretKey, endpoint } = minio;
    const store = createMinioObjectStore({ endpoint, bucket: name, accessKey, secretKey, region: 'us-east-1', ...options });
    opened.push(store);
    return store;
  }
  const store = connect();
  // MinIO takes connections before it can do anything.
  const isMade = async () =>
    await store.ensureBucket().then(
      () => true,
      () => false,
    );
  await until(isMade, { what: 'MinIO to make a bucket' });
  return {
    minio,
    name,
    store,
    connect,
    async [Symbol.asyncDispose]() {
      for (const each of opened) each.close();
      await minio[Symbol.asyncDispose]();
    },
  };
}

/** Everything, in one call of the housekeeping. */
export const WHOLE: Stretch = { after: '', isOver: () => false, check: () => {}, reached: () => {} };

/** A name in hex digits that no other test uses. */
export function newNonce(bytes = 8): string {
  return randomBytes(bytes).toString('hex');
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
