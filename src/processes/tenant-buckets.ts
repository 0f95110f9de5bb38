import { readFile } from 'node:fs/promises';
import { readAwsSource } from '../config/aws-settings.ts';
import { environment } from '../config/environment.ts';
import type { TenantBucket, TenantSettingsOf } from '../domain/tenant.ts';
import { createAwsCredentials, type S3Credentials } from '../storage/aws-credentials.ts';
import { createMinioObjectStore } from '../storage/minio-object-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { withKeyPrefix } from '../storage/prefixed-object-store.ts';
import type { OwnBucket, OwnBucketOf } from '../storage/own-bucket.ts';

/** Keys are read again after so long, so that files with new ones take effect without a restart. */
const KEYS_AGE_MS = 60_000;

/** Opens the buckets that tenants have of their own, each when it is first needed. One whose settings change is opened anew. */
export function createTenantBuckets({
  settingsOf,
  answerMs,
  monotonicMs,
}: {
  settingsOf: TenantSettingsOf;
  /** Longest until a bucket begins to answer; without it there is no limit. */
  answerMs?: number;
  monotonicMs: () => number;
}): { of: OwnBucketOf; close(): void } {
  const opened = new Map<string, { settings: string; store: ObjectStore; own: OwnBucket }>();

  function open(bucket: TenantBucket): { store: ObjectStore; own: OwnBucket } {
    const { endpoint, region, bucket: name, prefix } = bucket;
    const credentials = credentialsOf(bucket, monotonicMs);
    const whole = createMinioObjectStore({ endpoint, bucket: name, region, credentials, ...(answerMs === undefined ? {} : { answerMs }) });
    const store = prefix === '' ? whole : withKeyPrefix(whole, prefix);
    return { store, own: { store, uri: `s3://${name}/${prefix}` } };
  }

  return {
    of(tenant) {
      const { bucket } = settingsOf(tenant);
      const settings = JSON.stringify(bucket);
      const known = opened.get(tenant);
      if (known?.settings === settings) return known.own;
      known?.store.close();
      opened.delete(tenant);
      if (bucket === null) return null;
      const next = { settings, ...open(bucket) };
      opened.set(tenant, next);
      return next.own;
    },
    close() {
      for (const { store } of opened.values()) store.close();
    },
  };
}

/** The keys in the files; else those that AWS hands out to this process. */
function credentialsOf({ accessKeyFile, secretKeyFile, region }: TenantBucket, monotonicMs: () => number): () => Promise<S3Credentials> {
  if (accessKeyFile === null || secretKeyFile === null) {
    const source = readAwsSource(environment(), region, []);
    if (source !== null) return createAwsCredentials(source, { nowMs: Date.now });
    return async () => await Promise.reject(new Error('the tenants file names no keys of the bucket, and no AWS_ variable names a role'));
  }
  let [readMs, keys]: [number, S3Credentials | null] = [0, null];
  return async () => {
    if (keys !== null && monotonicMs() - readMs < KEYS_AGE_MS) return keys;
    const [accessKey, secretKey] = await Promise.all(
      [accessKeyFile, secretKeyFile].map(async (file) => (await readFile(file, 'utf8')).trim()),
    );
    readMs = monotonicMs();
    return (keys = { accessKey: accessKey ?? '', secretKey: secretKey ?? '', sessionToken: null });
  };
}
