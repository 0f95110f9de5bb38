import { createHash } from 'node:crypto';

/** A key of a tenant, as its SHA-256 in hex. */
export interface ApiKey {
  sha256Hex: string;
  tenant: string;
}

/** Reads `key=tenant,sha256:<hex>=tenant`. Adds what is wrong to `faults`, by the number of the entry and never its text. */
export function readApiKeys(given: string | undefined, faults: string[]): ApiKey[] {
  const keys: ApiKey[] = [];
  const entries = (given ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  for (const [index, entry] of entries.entries()) {
    const [, key = '', tenant = ''] = /^(.+)=([A-Za-z0-9_-]{1,64})$/.exec(entry) ?? [];
    const [, hash] = /^sha256:([0-9a-f]{64})$/i.exec(key) ?? [];
    const sha256Hex = hash?.toLowerCase() ?? createHash('sha256').update(key).digest('hex');
    if (key === '' || (hash === undefined && key.startsWith('sha256:'))) {
      faults.push(
        `NIGHTSHIFT_API_KEYS entry ${index + 1} must be key=tenant or sha256:<64 hex digits>=tenant, the tenant of letters, digits, _ and -`,
      );
    } else if (keys.some((other) => other.sha256Hex === sha256Hex)) {
      faults.push(`NIGHTSHIFT_API_KEYS entry ${index + 1} repeats the key of an earlier one`);
    } else {
      keys.push({ sha256Hex, tenant });
    }
  }
  if (given !== undefined && entries.length === 0) faults.push('NIGHTSHIFT_API_KEYS holds no key');
  return keys;
}

/** The first key that is given itself and not as a hash; null when there is none. */
export function firstPlainKey(given: string | undefined): string | null {
  const entry = (given ?? '')
    .split(',')
    .map((each) => each.trim())
    .find((each) => each !== '' && !each.startsWith('sha256:'));
  return entry?.replace(/=[^=]*$/, '') ?? null;
}
