import { createHash } from 'node:crypto';
import type { ApiKey } from './api-keys.ts';
import type { Settings } from './settings.ts';

const DEFAULT_KEY_SHA256 = createHash('sha256').update('local-key').digest('hex');
/** S3 secrets that stand in the compose file or in MinIO's own documentation. */
const DEFAULT_S3_SECRETS: ReadonlySet<string> = new Set(['nightshift-local', 'minioadmin']);

/** Whether this is the key that the compose file has when no other is set. */
export function isDefaultKey({ sha256Hex }: ApiKey): boolean {
  return sha256Hex === DEFAULT_KEY_SHA256;
}

/** A fault for each secret that everybody knows, for an API that others can reach. */
export function defaultSecrets(settings: Settings, apiKeys: readonly ApiKey[]): string[] {
  const found: string[] = [];
  if (apiKeys.some(isDefaultKey)) found.push('NIGHTSHIFT_API_KEYS or NIGHTSHIFT_TENANTS_FILE holds "local-key"');
  const { S3_SECRET_KEY: secret } = settings;
  if (secret !== undefined && DEFAULT_S3_SECRETS.has(secret)) found.push(`NIGHTSHIFT_S3_SECRET_KEY is "${secret}"`);
  return found.map(
    (what) =>
      `${what}, which everybody knows, and NIGHTSHIFT_API_HOST is ${settings.API_HOST}, which others can reach: choose another, or set NIGHTSHIFT_PUBLISHED_ON_LOOPBACK=true if the port is published on 127.0.0.1 only`,
  );
}
