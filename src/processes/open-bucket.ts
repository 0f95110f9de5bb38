import type { Config } from '../config.ts';
import { createAwsCredentials } from '../storage/aws-credentials.ts';
import { createMinioObjectStore } from '../storage/minio-object-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { withKeyPrefix } from '../storage/prefixed-object-store.ts';

/** The bucket of a configuration, or our part of it. `answerMs` is the longest until it begins to answer; without it there is no limit. */
export function openBucket({ s3, secrets }: Pick<Config, 's3' | 'secrets'>, patience: { answerMs?: number } = {}): ObjectStore {
  const { prefix, endpoint, bucket, region } = s3;
  const access =
    secrets.s3.from === 'AWS' ? { credentials: createAwsCredentials(secrets.s3.source, { nowMs: Date.now }) } : secrets.s3.keys;
  const store = createMinioObjectStore({ endpoint, bucket, region, ...access, ...patience });
  return prefix === '' ? store : withKeyPrefix(store, prefix);
}
