import { parse } from 'yaml';
import { z } from 'zod';
import type { ApiKey } from './api-keys.ts';
import type { TenantLimits } from '../domain/limits.ts';
import { DEFAULT_TENANT, isTenantName, type TenantBucket, type TenantSettings } from '../domain/tenant.ts';
import { firstLine } from './config-error.ts';
import { placeInList } from './place-in-list.ts';
import { BUCKET_NAME, BUCKET_PATTERN, isKeyPrefix, KEY_PREFIX, keyPrefixOf, LIMIT_BOUNDS } from './settings.ts';
import { isHttpUrl, isPlainOrigin } from './wire-values.ts';

/** The tenants of a file: settings by name, and all their keys. */
export interface Tenants {
  settings: Readonly<Record<string, TenantSettings>>;
  keys: readonly ApiKey[];
}

/** A whole number from 1 to `most`, or the word that stands for no limit. */
function limit(most: number) {
  const fits = (given: unknown) => given === 'none' || (Number.isInteger(given) && Number(given) >= 1 && Number(given) <= most);
  return z.custom<number | 'none'>(fits, `must be a whole number from 1 to ${most}, or none`).optional();
}

const keySchema = z.strictObject({
  name: z.string().min(1).max(100).optional(),
  sha256: z
    .string('must be the hash of the key: `nightshift tenants hash` makes it')
    .regex(/^[0-9a-f]{64}$/i, 'must be 64 hex digits: `nightshift tenants hash` makes them'),
  expires_at: z.iso.datetime({ offset: true, message: 'must be a time with its zone, like 2027-01-31T00:00:00Z' }).optional(),
});

const WEIGHT = 'must be a number from 0.001 to 1000';
const PRIORITY = 'must be a whole number from 1 to 5';
const NAME = 'must be 1 to 64 of letters, digits, _ and -';

const bucketSchema = z
  .strictObject({
    endpoint: z.string().refine((given) => isHttpUrl(given) && isPlainOrigin(given), 'must be scheme, host and port only'),
    region: z.string().min(1).default('us-east-1'),
    bucket: z.string(BUCKET_NAME).regex(BUCKET_PATTERN, BUCKET_NAME),
    prefix: z.string().refine(isKeyPrefix, KEY_PREFIX).optional(),
    access_key_file: z.string().min(1).optional(),
    secret_key_file: z.string().min(1).optional(),
  })
  .refine(
    (given) => (given.access_key_file === undefined) === (given.secret_key_file === undefined),
    'must have access_key_file and secret_key_file, or none of them for the role of the process',
  );

const tenantSchema = z.strictObject({
  name: z.string(NAME).refine(isTenantName, NAME),
  keys: z.array(keySchema).default([]),
  requests_per_minute: limit(LIMIT_BOUNDS.count),
  batches_per_hour: limit(LIMIT_BOUNDS.count),
  max_open_batches: limit(LIMIT_BOUNDS.count),
  max_stored_bytes: limit(LIMIT_BOUNDS.bytes),
  weight: z.number(WEIGHT).min(0.001, WEIGHT).max(1000, WEIGHT).default(DEFAULT_TENANT.weight),
  best_priority: z.int(PRIORITY).min(1, PRIORITY).max(5, PRIORITY).default(DEFAULT_TENANT.bestPriority),
  bucket: bucketSchema.optional(),
  operator: z.boolean('must be true or false').default(DEFAULT_TENANT.isOperator),
});

const fileSchema = z.array(tenantSchema, 'must be a list of tenants');

/**
 * Reads a list of tenants (YAML, or JSON, which is YAML too). A limit that is left out is that of `defaults`. Adds a fault for
 * everything that is wrong, without a hash; what it returns then is not to be used.
 */
export function parseTenants(text: string, defaults: TenantLimits, faults: string[]): Tenants {
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    faults.push(`the file is not YAML or JSON: ${firstLine(error)}`);
    return { settings: {}, keys: [] };
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) {
    for (const issue of parsed.error.issues)
      faults.push(`${placeInList(content, issue.path, 'tenant')} ${issue.message}${plainKeyAdvice(issue)}`);
    return { settings: {}, keys: [] };
  }
  const settings: Record<string, TenantSettings> = Object.create(null);
  const keys: ApiKey[] = [];
  const names = new Set<string>();
  for (const given of parsed.data) {
    if (names.has(given.name.toLowerCase())) faults.push(`two tenants are named ${given.name}, which may not differ in case only`);
    names.add(given.name.toLowerCase());
    settings[given.name] = {
      limits: limitsOf(given, defaults),
      weight: given.weight,
      bestPriority: given.best_priority,
      isOperator: given.operator,
      bucket: bucketOf(given.bucket),
    };
    for (const [index, { name, sha256, expires_at }] of given.keys.entries()) {
      const sha256Hex = sha256.toLowerCase();
      if (keys.some((other) => other.sha256Hex === sha256Hex))
        faults.push(`${given.name}: keys.${index} (${name ?? 'no name'}) repeats an earlier key`);
      keys.push({ sha256Hex, tenant: given.name, expiresAtMs: expires_at === undefined ? null : Date.parse(expires_at) });
    }
  }
  return { settings, keys };
}

function bucketOf(given: z.output<typeof bucketSchema> | undefined): TenantBucket | null {
  if (given === undefined) return null;
  const { endpoint, region, bucket, prefix, access_key_file = null, secret_key_file = null } = given;
  return { endpoint, region, bucket, prefix: keyPrefixOf(prefix), accessKeyFile: access_key_file, secretKeyFile: secret_key_file };
}

function limitsOf(given: z.output<typeof tenantSchema>, defaults: TenantLimits): TenantLimits {
  const chosen = (value: number | 'none' | undefined, otherwise: number | null) =>
    value === undefined ? otherwise : value === 'none' ? null : value;
  return {
    requestsPerMinute: chosen(given.requests_per_minute, defaults.requestsPerMinute),
    batchesPerHour: chosen(given.batches_per_hour, defaults.batchesPerHour),
    maxOpenBatches: chosen(given.max_open_batches, defaults.maxOpenBatches),
    maxStoredBytes: chosen(given.max_stored_bytes, defaults.maxStoredBytes),
  };
}

/** Operators who write the key itself learn what to write instead. */
function plainKeyAdvice(issue: z.core.$ZodIssue): string {
  const isKey = issue.code === 'unrecognized_keys' && issue.path.includes('keys') && issue.keys.includes('key');
  return isKey ? ' (only the hash of a key may be in this file: `nightshift tenants hash` makes it)' : '';
}
