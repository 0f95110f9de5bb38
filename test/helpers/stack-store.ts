import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { minioWithBucket } from './servers.ts';

/** A bucket for this stack, and what tells the processes of it. */
export async function startBucket(isOwn: boolean, at: (endpoint: string) => Promise<string>) {
  const { minio, bucket } = await minioWithBucket({ own: isOwn });
  const env = {
    NIGHTSHIFT_S3_ENDPOINT: await at(minio.endpoint),
    NIGHTSHIFT_S3_BUCKET: bucket,
    NIGHTSHIFT_S3_ACCESS_KEY: minio.accessKey,
    NIGHTSHIFT_S3_SECRET_KEY: minio.secretKey,
  };
  return { minio, env, [Symbol.asyncDispose]: async () => await minio[Symbol.asyncDispose]() };
}

/** The folder of an embedded store, which goes with the stack. */
export async function startFolder(): Promise<{ env: Record<string, string> } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'nightshift-store-'));
  return {
    env: { NIGHTSHIFT_STORE: 'embedded', NIGHTSHIFT_STORE_DIR: folder, NIGHTSHIFT_WEBHOOK_KEY: 'webhook-key-of-the-tests' },
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true, maxRetries: 5 }),
  };
}
