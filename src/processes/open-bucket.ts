import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createAwsCredentials } from '../storage/aws-credentials.ts';
import { createMinioObjectStore } from '../storage/minio-object-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { withKeyPrefix } from '../storage/prefixed-object-store.ts';
import { findStoreFault } from '../storage/store-fault.ts';
import { withoutCredentials } from '../config/wire-values.ts';
import { retryUntilUp } from './retry-until-up.ts';

/** The bucket of a configuration, or our part of it. `answerMs` is the longest until it begins to answer; without it there is no limit. */
export function openBucket({ s3, secrets }: Pick<Config, 's3' | 'secrets'>, patience: { answerMs?: number } = {}): ObjectStore {
  const { prefix, endpoint, bucket, region } = s3;
  const access =
    secrets.s3.from === 'AWS' ? { credentials: createAwsCredentials(secrets.s3.source, { nowMs: Date.now }) } : secrets.s3.keys;
  const store = createMinioObjectStore({ endpoint, bucket, region, ...access, ...patience });
  return prefix === '' ? store : withKeyPrefix(store, prefix);
}

/** Waits for the bucket, makes it if it is missing, and throws `ConfigError` when its store lacks a condition that Nightshift needs. */
export async function prepareBucket(
  { s3, store, nonce }: { s3: Config['s3']; store: ObjectStore; nonce: string },
  waiting: { logger: Logger; signal: AbortSignal },
): Promise<void> {
  const prepare = async () => {
    await store.ensureBucket();
    return await findStoreFault(store, nonce);
  };
  const fault = await retryUntilUp('the bucket', prepare, waiting);
  if (fault === null) return;
  const where = `bucket ${s3.bucket} at ${withoutCredentials(s3.endpoint)}`;
  const advice = 'Batches would be lost or run twice. Use a store that keeps to these conditions (docs/operations.md#stores).';
  throw new ConfigError([`NIGHTSHIFT_S3_ENDPOINT: the store of ${where} cannot be used: it ${fault}. ${advice}`]);
}
