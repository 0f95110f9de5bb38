import { createHash } from 'node:crypto';
import { shortKeyWarning } from './setting-checks.ts';
import { TENANT_NAME } from '../domain/tenant.ts';
import { isSecret } from './wire-values.ts';

/** A key of a tenant, as its SHA-256 in hex. */
export interface ApiKey {
  sha256Hex: string;
  tenant: string;
  /** Unix milliseconds from which the key is refused; null for a key that does not expire. */
  expiresAtMs: number | null;
}

const ENTRY = 'must be key=tenant or sha256:<64 hex digits>=tenant, the tenant of letters, digits, _ and -';

/**
 * Reads `key=tenant,sha256:<hex>=tenant`; a line end separates entries as a comma does. Adds faults and warnings, which name
 * the number of an entry and never its text.
 */
export function readApiKeys(given: string | undefined, faults: string[], warnings: string[]): ApiKey[] {
  const keys: ApiKey[] = [];
  const entries = entriesOf(given);
  for (const [index, entry] of entries.entries()) {
    const where = `NIGHTSHIFT_API_KEYS entry ${index + 1}`;
    const [, key = '', tenant = ''] = new RegExp(`^(.+)=(${TENANT_NAME})$`).exec(entry) ?? [];
    const [, hash] = /^sha256:([0-9a-f]{64})$/i.exec(key) ?? [];
    const sha256Hex = hash?.toLowerCase() ?? createHash('sha256').update(key).digest('hex');
    if (key === '' || (hash === undefined && key.startsWith('sha256:'))) {
      faults.push(`${where} ${ENTRY}. A key cannot contain a comma.`);
    } else if (!isSecret(key)) {
      faults.push(`${where} has a key that no client can send: use printable ASCII characters without spaces`);
    } else if (keys.some((other) => other.sha256Hex === sha256Hex)) {
      faults.push(`${where} repeats the key of an earlier one`);
    } else {
      keys.push({ sha256Hex, tenant, expiresAtMs: null });
      const warning = hash === undefined ? shortKeyWarning(key, `The key of ${where}`) : null;
      if (warning !== null) warnings.push(warning);
    }
  }
  for (const { tenant } of keys) {
    const other = keys.find((each) => each.tenant < tenant && each.tenant.toLowerCase() === tenant.toLowerCase());
    // Where the bucket's disk ignores case, the two would share their folders.
    if (other !== undefined) {
      faults.push(`NIGHTSHIFT_API_KEYS names the tenants "${other.tenant}" and "${tenant}", which differ in case only: rename one`);
    }
  }
  if (given !== undefined && entries.length === 0) faults.push('NIGHTSHIFT_API_KEYS holds no key');
  return keys;
}

/** The first key that is given itself and not as a hash; null when there is none. */
export function firstPlainKey(given: string | undefined): string | null {
  const entry = entriesOf(given).find((each) => !each.startsWith('sha256:'));
  return entry?.replace(/=[^=]*$/, '') ?? null;
}

function entriesOf(given: string | undefined): string[] {
  return (given ?? '')
    .split(/[,\r\n]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
