import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createAwsCredentials } from '../storage/aws-credentials.ts';
import { createEmbeddedObjectStore } from '../storage/embedded/embedded-object-store.ts';
import { keys } from '../storage/keys.ts';
import { createMinioObjectStore } from '../storage/minio-object-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { withKeyPrefix } from '../storage/prefixed-object-store.ts';
import { findStoreFault } from '../storage/store-fault.ts';
import type { StoreConfig } from '../config/store-settings.ts';
import { withoutCredentials } from '../config/wire-values.ts';
import { retryUntilUp } from './retry-until-up.ts';

/** The store of a configuration. `answerMs` is the longest until it begins to answer; without it S3 may take as long as it likes. */
export function openStore({ store, secrets }: Pick<Config, 'store' | 'secrets'>, patience: { answerMs?: number } = {}): ObjectStore {
  const { answerMs } = patience;
  if (store.kind === 'embedded')
    return createEmbeddedObjectStore({ folder: store.folder, ...(answerMs === undefined ? {} : { lockMs: answerMs }) });
  if (secrets.s3 === null) throw new Error('a configuration with an S3 store has its credentials');
  const { prefix, endpoint, bucket, region } = store;
  const access =
    secrets.s3.from === 'AWS' ? { credentials: createAwsCredentials(secrets.s3.source, { nowMs: Date.now }) } : secrets.s3.keys;
  const whole = createMinioObjectStore({ endpoint, bucket, region, ...access, ...patience });
  return prefix === '' ? whole : withKeyPrefix(whole, prefix);
}

/** Which store it is and where, as in "objects are in …". */
export function describeStore(store: StoreConfig): string {
  if (store.kind === 'embedded') return `the embedded store in ${store.folder}`;
  return `the bucket ${store.bucket} at ${withoutCredentials(store.endpoint)}${store.prefix === '' ? '' : `, below ${store.prefix}`}`;
}

/**
 * Waits for the store and makes its bucket or folder if it is missing. Throws `ConfigError` when it lacks a condition that Nightshift
 * needs, or holds a part of a copy only.
 */
export async function prepareStore(
  { at, store, newNonce }: { at: StoreConfig; store: ObjectStore; newNonce: () => string },
  waiting: { logger: Logger; signal: AbortSignal },
): Promise<void> {
  waiting.logger.info({ store: at }, `objects are in ${describeStore(at)}`);
  const prepare = async () => {
    await store.ensureBucket();
    // A new one for each try: what a try that was cut off still sends may arrive in the middle of the next one.
    const fault = await findStoreFault(store, newNonce());
    return { fault, isHalf: (await store.stat(keys.unfinishedCopy)) !== null };
  };
  const { fault, isHalf } = await retryUntilUp('the store', prepare, waiting);
  const [where, variable] = [describeStore(at), at.kind === 'embedded' ? 'NIGHTSHIFT_STORE_DIR' : 'NIGHTSHIFT_S3_ENDPOINT'];
  if (fault !== null) {
    const advice = 'Batches would be lost or run twice. Use a store that keeps to these conditions (docs/operations.md#stores).';
    throw new ConfigError([`${variable}: ${where} cannot be used: it ${fault}. ${advice}`]);
  }
  if (isHalf) {
    throw new ConfigError([
      `${variable}: a copy into ${where} has not finished. Run the same \`nightshift store copy\` again; it goes on where it was`,
    ]);
  }
}
