import { readAwsSource } from './aws-settings.ts';
import type { S3Keys } from './local-keys.ts';
import { PREFIX, type Settings } from './settings.ts';
import { isLoopback } from './wire-values.ts';
import type { AwsSource } from '../storage/aws-credentials.ts';

/** How a process proves itself to the bucket: with keys that stay, or with those that AWS hands out. */
export type S3Access = { from: 'settings' | 'data folder'; keys: S3Keys } | { from: 'AWS'; source: AwsSource };

/**
 * The keys of the settings; else those that `nightshift local` made, where the endpoint is on this machine; else what the
 * environment says of AWS. Null, and a fault, when there is nothing. `localKeys` answers the keys of the local MinIO.
 */
export function readS3Access(
  { settings, env, localKeys }: { settings: Settings; env: NodeJS.ProcessEnv; localKeys: () => S3Keys | null },
  faults: string[],
): S3Access | null {
  const { S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey } = settings;
  if (accessKey !== undefined && secretKey !== undefined) return { from: 'settings', keys: { accessKey, secretKey } };
  for (const [name, value, other] of [
    ['S3_ACCESS_KEY', accessKey, secretKey],
    ['S3_SECRET_KEY', secretKey, accessKey],
  ] as const) {
    if (value === undefined && other !== undefined) faults.push(`${PREFIX}${name} is missing: the two S3 keys go together`);
  }
  if (accessKey !== undefined || secretKey !== undefined) return null;

  const { hostname } = new URL(settings.S3_ENDPOINT);
  if (isLoopback(hostname)) {
    const keys = localKeys();
    if (keys !== null) return { from: 'data folder', keys };
  }
  const source = readAwsSource(env, settings.S3_REGION, faults);
  // The metadata service of a virtual machine has keys for AWS only, unless a variable says where it is.
  if (source !== null && (source.kind !== 'instance' || source.isNamed || /\.amazonaws\.com(\.cn)?$/.test(hostname))) {
    return { from: 'AWS', source };
  }
  faults.push(
    'NIGHTSHIFT_S3_ACCESS_KEY and NIGHTSHIFT_S3_SECRET_KEY are missing, `nightshift local` has made none in NIGHTSHIFT_DATA_DIR, and no AWS_ variable names a role: set the two keys, or NIGHTSHIFT_STORE=embedded to keep everything in a folder of this machine',
  );
  return null;
}
