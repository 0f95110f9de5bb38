import { z } from 'zod';
import { parseCompletionWindow } from '../domain/completion-window.ts';
import { isTenantName, TENANT_NAME } from '../domain/tenant.ts';
import { isHttpUrl, isPlainOrigin, isSecret, NAMES_ENDPOINT, namesEndpoint } from './wire-values.ts';

/**
 * Every environment variable of Nightshift, without its prefix: default, shape and bounds, each in one place. Values stay
 * text up to here; defaults are written as an operator would write them, so that the documentation can be compared.
 */

/** What every variable's name begins with. */
export const PREFIX = 'NIGHTSHIFT_';

/** The highest limit of a tenant that can be set. */
export const LIMIT_BOUNDS = { count: 1_000_000, bytes: 999_999_999_999_999 } as const;

/** The parts of a worker's job, which can run in processes of their own. */
export const WORKER_ROLES = ['workflows', 'control', 'requests'] as const;
export type WorkerRole = (typeof WORKER_ROLES)[number];

/** What a bucket and the prefix of keys in it may be, and how a fault says it. */
export const BUCKET_PATTERN = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
export const BUCKET_NAME = 'must be a bucket name: 3 to 63 of a-z, 0-9, dot and hyphen';
export const KEY_PREFIX = 'must be names of letters, digits, dot, hyphen and underscore, separated by /, like team-a/nightshift';

/** Where objects are kept. */
export const STORE_KINDS = ['embedded', 's3'] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

export const settingsSchema = z.object({
  API_HOST: text('127.0.0.1'),
  API_PORT: integer(7800, 0, 65_535),
  API_KEYS: optional(),
  KEEP_ALIVE_SECONDS: integer(75, 1, 3600),
  MAX_CONNECTIONS: integer(5000, 1, 1_000_000),
  DRAIN_SECONDS: integer(0, 0, 3600),
  PUBLISHED_ON_LOOPBACK: flag(false),
  ALLOWED_HOSTS: list('', (item) => /^[\w.-]+$|^\[[\da-f:.]+\]$/i.test(item), 'must be host names without ports, separated by commas'),
  CORS_ORIGINS: list('', (item) => item === '*' || isOrigin(item), 'must be * or origins like https://tools.example, separated by commas'),
  TRUST_PROXY: flag(false),
  TENANTS_FILE: optional(),
  UPLOAD_IDLE_TIMEOUT_SECONDS: integer(60, 1, 3600),
  UPLOAD_MIN_BYTES_PER_SECOND: integer(8192, 1, 1_000_000_000),
  TENANT_WEIGHTS: list('', (item) => readWeight(item) !== null, 'must be tenant=weight, separated by commas, weights from 0.001 to 1000'),
  TENANT_PRIORITIES: list(
    '',
    (item) => readPriority(item) !== null,
    'must be tenant=priority, separated by commas, priorities from 1 to 5',
  ),
  OPERATOR_TENANTS: list('', isTenantName, 'must be names of tenants, separated by commas'),
  TENANT_REQUESTS_PER_MINUTE: limit(LIMIT_BOUNDS.count),
  TENANT_BATCHES_PER_HOUR: limit(LIMIT_BOUNDS.count),
  TENANT_MAX_OPEN_BATCHES: limit(LIMIT_BOUNDS.count),
  TENANT_MAX_STORED_BYTES: limit(LIMIT_BOUNDS.bytes),

  TEMPORAL_ADDRESS: text('127.0.0.1:7233', /^[^\s/]+:\d+$/, 'must be host:port'),
  TEMPORAL_NAMESPACE: text('default'),
  TEMPORAL_API_KEY: secret(),
  TEMPORAL_TLS: flag(false),
  TEMPORAL_TLS_CA_FILE: optional(),
  TEMPORAL_TLS_CERT_FILE: optional(),
  TEMPORAL_TLS_KEY_FILE: optional(),
  TEMPORAL_TLS_SERVER_NAME: z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'must be a host name')
    .optional(),
  BUILD_ID: z
    .string()
    .regex(/^[\w.+-]{1,128}$/, 'must be at most 128 of a-z, digits, dot, hyphen, plus and underscore')
    .optional(),

  STORE: z.enum(STORE_KINDS, `must be one of ${STORE_KINDS.join(', ')}`).optional(),
  STORE_DIR: optional(),
  S3_ENDPOINT: url('http://127.0.0.1:9000').refine(
    (given) => !isHttpUrl(given) || isPlainOrigin(given),
    'must be scheme, host and port only, like https://s3.example.com (a folder of the bucket is NIGHTSHIFT_S3_PREFIX, keys are NIGHTSHIFT_S3_ACCESS_KEY and NIGHTSHIFT_S3_SECRET_KEY)',
  ),
  S3_BUCKET: text('nightshift', BUCKET_PATTERN, BUCKET_NAME),
  S3_PREFIX: z.string().refine(isKeyPrefix, KEY_PREFIX).optional(),
  S3_REGION: text('us-east-1'),
  S3_ACCESS_KEY: secret(),
  S3_SECRET_KEY: secret(),

  UPSTREAM_URL: url('http://127.0.0.1:8900/v1').refine((given) => !namesEndpoint(given), NAMES_ENDPOINT),
  UPSTREAM_API_KEY: secret(),
  UPSTREAM_MAX_IN_FLIGHT: integer(1024, 1, 10_000),
  UPSTREAM_LIMITER: choice('adaptive', ['adaptive', 'fixed']),
  UPSTREAM_REQUESTS_PER_MINUTE: wholeNumber(1, 10_000_000).transform(Number).optional(),
  UPSTREAM_TOKENS_PER_MINUTE: wholeNumber(1, 1_000_000_000_000).transform(Number).optional(),
  UPSTREAM_REQUEST_TIMEOUT_SECONDS: integer(1800, 1, 86_400),
  UPSTREAM_CHECK_MODELS: flag(true),
  UPSTREAMS_FILE: optional(),

  COMPLETION_WINDOWS: list('24h', (item) => parseCompletionWindow(item) !== null, 'must be durations like 24h, separated by commas'),
  ENDPOINTS: list('', (item) => /^\/[^\s/?#][^\s?#]*$/.test(item), 'must be paths like /v1/rerank or /rerank, separated by commas'),
  MAX_REQUESTS_PER_BATCH: integer(50_000, 1, 10_000_000),
  MAX_BATCH_INPUT_BYTES: integer(209_715_200, 1024, 80_000_000_000),
  MAX_UPLOAD_BYTES: integer(536_870_912, 1024, 80_000_000_000),
  MAX_RESUMABLE_UPLOAD_BYTES: integer(8_589_934_592, 1024, 80_000_000_000),
  MAX_LINE_BYTES: integer(67_108_864, 1024, 536_870_912),
  MAX_EMBEDDING_INPUTS: integer(50_000, 1, 100_000_000),
  PRICES_FILE: optional(),

  LINES_PER_ACTIVITY: limit(1000),
  ACTIVITIES_PER_SECOND: integer(100, 1, 100_000),
  MAX_IN_FLIGHT_PER_BATCH: integer(1024, 1, 10_000),
  CANCEL_GRACE_SECONDS: integer(30, 0, 600),
  PAUSE_STOPS_WINDOW: flag(false),
  HEARTBEAT_TIMEOUT_SECONDS: integer(30, 5, 600),
  UPLOAD_MARKER_MAX_AGE_HOURS: integer(24, 1, 8760),
  SWEEP_INTERVAL_SECONDS: integer(60, 1, 86_400),
  SWEEP_MIN_AGE_SECONDS: integer(60, 1, 3600),

  WORKER_ROLES: list(WORKER_ROLES.join(','), isWorkerRole, `must be some of ${WORKER_ROLES.join(', ')}, separated by commas`).transform(
    (items) => WORKER_ROLES.filter((role) => items.includes(role)),
  ),
  MAX_CACHED_WORKFLOWS: wholeNumber(2, 100_000).transform(Number).optional(),

  WEBHOOK_KEY: secret(),
  WEBHOOK_ALLOW_PRIVATE: flag(false),

  SHUTDOWN_GRACE_SECONDS: integer(25, 0, 3600),
  METRICS_HOST: text('127.0.0.1'),
  METRICS_PORT: wholeNumber(1, 65_535).transform(Number).optional(),
  WORKER_HTTP_PORT: wholeNumber(1, 65_535).transform(Number).optional(),
  LOG_LEVEL: choice('info', ['trace', 'debug', 'info', 'warn', 'error', 'fatal']),
  LOG_FORMAT: choice('json', ['json', 'pretty']),

  DATA_DIR: text('.nightshift'),
  TEMPORAL_UI_PORT: integer(8233, 1, 65_535),
  EXAMPLE_UPSTREAM_PORT: integer(8900, 1, 65_535),
  TEMPORAL_BIN: optional(),
  TEMPORAL_TEST_SERVER_BIN: optional(),
  MINIO_BIN: optional(),
  STRICT: flag(true),

  BASE_URL: optional(),
  API_KEY: optional(),
});
export type Settings = z.output<typeof settingsSchema>;
export type SettingName = keyof Settings;

/** `tenant=weight`; null for what is none. The bounds are Temporal's. */
export function readWeight(item: string): [tenant: string, weight: number] | null {
  const [, tenant, text] = new RegExp(`^(${TENANT_NAME})=(\\d{1,4}(?:\\.\\d{1,3})?)$`).exec(item) ?? [];
  const weight = Number(text);
  return tenant !== undefined && weight >= 0.001 && weight <= 1000 ? [tenant, weight] : null;
}

/** An item of TENANT_PRIORITIES. */
export function readPriority(item: string): [tenant: string, best: number] | null {
  const [, tenant, best] = new RegExp(`^(${TENANT_NAME})=([1-5])$`).exec(item) ?? [];
  return tenant === undefined ? null : [tenant, Number(best)];
}

/** Settings whose values are never shown. Each may come from the file that `NAME_FILE` names. */
export const SECRET_SETTINGS = [
  'API_KEYS',
  'TEMPORAL_API_KEY',
  'S3_ACCESS_KEY',
  'S3_SECRET_KEY',
  'UPSTREAM_API_KEY',
  'WEBHOOK_KEY',
  'API_KEY',
] as const satisfies readonly SettingName[];

/** The variables that name the files of secrets. */
export const SECRET_FILES: readonly string[] = SECRET_SETTINGS.map((name) => `${name}_FILE`);

function text(value: string, pattern = /./, message = '') {
  return z.string().regex(pattern, message).default(value);
}

function optional() {
  return z.string().optional();
}

/** Spaces and line ends around it come from files and secret stores, and are no part of it. */
function secret() {
  return z.string().trim().refine(isSecret, 'must be printable ASCII without spaces').optional();
}

function url(value: string) {
  return z.string().default(value).refine(isHttpUrl, 'must be an http(s) URL');
}

/** Folders of a bucket without empty names, `.` and `..`, which some servers do not keep; a slash may end it. */
export function isKeyPrefix(given: string): boolean {
  const names = given.replace(/\/$/, '').split('/');
  return given.length <= 256 && names.every((name) => /^[\w.-]+$/.test(name) && !/^\.\.?$/.test(name));
}

/** What the keys in a folder of a bucket begin with: the folder with a slash at its end, or nothing without a folder. */
export function keyPrefixOf(folder = ''): string {
  return folder === '' || folder.endsWith('/') ? folder : `${folder}/`;
}

function integer(value: number, least: number, most: number) {
  return wholeNumber(least, most).default(String(value)).transform(Number);
}

/** A number that may be left out, which means that there is no bound. */
function limit(most: number) {
  return wholeNumber(1, most).transform(Number).optional();
}

function wholeNumber(least: number, most: number) {
  const fits = (given: string) => /^\d{1,15}$/.test(given) && Number(given) >= least && Number(given) <= most;
  return z.string().refine(fits, `must be a whole number from ${least} to ${most}`).meta({ minimum: least, maximum: most });
}

function isWorkerRole(item: string): boolean {
  return WORKER_ROLES.some((role) => role === item);
}

function isOrigin(item: string): boolean {
  return URL.canParse(item) && new URL(item).origin === item;
}

function flag(value: boolean) {
  return z
    .enum(['true', 'false'], 'must be true or false')
    .default(value ? 'true' : 'false')
    .transform((given) => given === 'true');
}

function choice<const T extends readonly string[]>(value: T[number], all: T) {
  return z.enum(all, `must be one of ${all.join(', ')}`).default(value);
}

function list(value: string, fits: (item: string) => boolean, message: string) {
  const items = (given: string) =>
    given
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  return z
    .string()
    .default(value)
    .refine((given) => items(given).every(fits) && (value === '' || items(given).length > 0), message)
    .transform(items);
}
