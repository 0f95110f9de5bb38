import { resolve } from 'node:path';
import { firstPlainKey } from './api-keys.ts';
import { ConfigError } from './config-error.ts';
import { defaultSecrets, isDefaultKey } from './default-secrets.ts';
import { isSet } from './environment.ts';
import { ensureLocalKeys, keysFile, readLocalKeys } from './local-keys.ts';
import { readS3Access, type S3Access } from './bucket-access.ts';
import { readSecretFiles, type SecretName } from './secret-files.ts';
import { contradictions, doubts } from './setting-checks.ts';
import { unknownSettings, withoutServiceLinks } from './setting-names.ts';
import { type BucketConfig, chooseStore, otherStoreFault, type StoreConfig, storeFolder } from './store-settings.ts';
import { readPrices } from './prices-file.ts';
import { keyPrefixOf, PREFIX, SECRET_SETTINGS, type Settings, settingsSchema, type WorkerRole } from './settings.ts';
import { readTemporalTls } from './temporal-tls.ts';
import { readTenants, type TenantConfig } from './tenant-settings.ts';
import { readTracing, type Sampling } from './tracing-settings.ts';
import { exampleUrl, readUpstreams } from './upstream-settings.ts';
import type { UpstreamConfig, UpstreamCredentials } from './upstreams-file.ts';
import { isLoopback, withoutCredentials } from './wire-values.ts';
import type { TlsFiles } from '../upstream/client/open-connection.ts';
import type { Limits } from '../domain/limits.ts';
import type { Prices } from '../domain/prices.ts';
import { cutText } from '../domain/shown-text.ts';

/** Everything a process of ours is told from outside: checked, frozen, and printable but for `secrets`. Times are milliseconds. */
export interface Config {
  api: {
    host: string;
    port: number;
    bodyPace: { idleTimeoutMs: number; minBytesPerSecond: number };
    /** Names besides those of loopback under which the API may be asked; null: any. */
    allowedHosts: string[] | null;
    /** Origins whose pages may call the API; `*` is any. */
    corsOrigins: string[];
    keepAliveMs: number;
    maxConnections: number;
    /** How long the process goes on serving after it was told to end, so that load balancers can see that `/ready` fails. */
    drainMs: number;
    /** Whether a proxy in front says who the client is, and which trace a request belongs to. */
    trustsProxy: boolean;
  };
  temporal: {
    address: string;
    namespace: string;
    tls: boolean;
    /** The name that the server's certificate must have; null for the host of the address. */
    serverName: string | null;
  };
  /** The version that a worker serves; null serves whatever there is. */
  buildId: string | null;
  store: StoreConfig;
  /** Empty in the API, which sends no requests. */
  upstreams: UpstreamConfig[];
  /** Without the keys of tenants, which are secrets. */
  tenants: Omit<TenantConfig, 'tenants'> & Pick<TenantConfig['tenants'], 'settings'>;
  batches: {
    completionWindows: string[];
    /** Further endpoints than those of the wire contract. */
    endpoints: string[];
    limits: Limits;
    /** Null without a file of prices. */
    prices: Prices | null;
    /** Null lets the size of slices follow the pace. */
    linesPerActivity: number | null;
    activitiesPerSecond: number;
    maxInFlight: number;
    cancelGraceMs: number;
    /** Whether the completion window of a batch stands still while it is paused. */
    pauseStopsWindow: boolean;
    heartbeatTimeoutMs: number;
  };
  housekeeping: { uploadMarkerMaxAgeMs: number; sweepIntervalMs: number; sweepMinAgeMs: number };
  worker: {
    /** What this process does of a worker's job. */
    roles: readonly WorkerRole[];
    /** Workflows that are kept in memory between their tasks; null follows the memory of the process. */
    maxCachedWorkflows: number | null;
  };
  webhooks: {
    /** Whether they may be sent to private addresses, to this machine and over plain HTTP. */
    allowPrivate: boolean;
  };
  shutdownGraceMs: number;
  telemetry: {
    host: string;
    /** Where operators reach the API process; null listens nowhere. */
    apiPort: number | null;
    /** Where operators reach the worker; null listens nowhere. */
    workerPort: number | null;
    /** Null sends no traces. */
    tracing: Sampling | null;
  };
  log: { level: Settings['LOG_LEVEL']; format: Settings['LOG_FORMAT'] };
  local: {
    dataDir: string;
    /** Where the S3 keys come from; null when the environment gives them. */
    keysFile: string | null;
    temporalUiPort: number;
    exampleUpstreamPort: number;
    exampleUpstreamWanted: boolean;
  };
  /** What may be a mistake and does not stop a process: sentences for its log. */
  warnings: string[];
  /** Never logged. */
  secrets: {
    /** Null lets everybody in, as tenant `default`. */
    apiKeys: TenantConfig['tenants']['keys'] | null;
    /** A key that the API accepts, for a client on this machine; null when none is needed or none is known in plain. */
    clientKey: string | null;
    temporalApiKey: string | null;
    temporalTls: TlsFiles;
    /** Null with the embedded store. */
    s3: S3Access | null;
    /** Encrypts the signing secrets of webhooks; null where neither it nor a key of the store is configured. */
    webhookKey: string | null;
    /** By name of the upstream. */
    upstreams: Record<string, UpstreamCredentials>;
  };
}

/** Which process a configuration is for. */
export type Role = 'api' | 'worker' | 'local';

const ALL_SECRETS: readonly SecretName[] = SECRET_SETTINGS;
/** The secrets whose files a process needs; those of others may be out of its reach. */
const SECRETS_OF: Readonly<Record<Role, readonly SecretName[]>> = {
  api: ALL_SECRETS.filter((name) => name !== 'UPSTREAM_API_KEY' && name !== 'API_KEY'),
  worker: ALL_SECRETS.filter((name) => name !== 'API_KEYS' && name !== 'API_KEY'),
  local: ALL_SECRETS,
};

/** Stands for keys that `nightshift local` makes when it starts. */
const NOT_MADE = { accessKey: '', secretKey: '' };

/**
 * Makes the configuration of a process out of an environment. Throws one `ConfigError` with every fault found. `nightshift local`
 * makes keys for its store, unless `makesKeys` is false.
 */
export function loadConfig(environment: NodeJS.ProcessEnv, role: Role, { makesKeys = role === 'local' } = {}): Config {
  const faults: string[] = [];
  const env = readSecretFiles(withoutServiceLinks(environment), SECRETS_OF[role], faults);
  const settings = readSettings(env, faults);
  const warnings = doubts(settings);
  (settings.STRICT ? faults : warnings).push(...unknownSettings(env));
  faults.push(...contradictions(settings, role));
  const { tenants, ...tenantConfig } = readTenants({ settings, env }, faults, warnings);
  const isOpen = settings.API_KEYS === undefined && tenantConfig.file === null;
  if (role !== 'worker' && isOpen && !isSet(env, 'API_KEYS_FILE') && !isLoopback(settings.API_HOST)) {
    faults.push(
      `NIGHTSHIFT_API_HOST is ${settings.API_HOST}, which others can reach: set NIGHTSHIFT_API_KEYS or NIGHTSHIFT_TENANTS_FILE, or listen on 127.0.0.1`,
    );
  }
  if (role !== 'worker' && !isLoopback(settings.API_HOST) && !settings.PUBLISHED_ON_LOOPBACK) {
    faults.push(...defaultSecrets(settings, tenants.keys));
  }
  const { upstreams, credentials } = role === 'api' ? { upstreams: [], credentials: {} } : readUpstreams(settings, env, faults);
  const prices = role === 'worker' ? null : readPrices(settings.PRICES_FILE, faults);
  const dataDir = resolve(settings.DATA_DIR);
  const tracing = readTracing(env, faults);
  const temporalTls = readTemporalTls(settings, faults);
  const mayMakeKeys = makesKeys && faults.length === 0;
  const localKeys = () => (mayMakeKeys ? ensureLocalKeys(dataDir) : (readLocalKeys(dataDir) ?? (role === 'local' ? NOT_MADE : null)));
  const kind = chooseStore({ settings, env, isLocal: role === 'local', dataDir });
  const s3 = kind === 's3' ? readS3Access({ settings, env, localKeys }, faults) : null;
  if (faults.length > 0) throw new ConfigError(faults);
  // `nightshift local` refuses it instead.
  const otherStore = role === 'local' ? null : otherStoreFault(dataDir, kind);
  if (otherStore !== null) warnings.push(otherStore);
  const storeKey = s3 === null ? localKeys()?.secretKey : 'keys' in s3 ? s3.keys.secretKey : undefined;

  return freeze({
    api: {
      host: settings.API_HOST,
      port: settings.API_PORT,
      // Where a page needs no key, or knows it, only the names and origins that it may use keep it out.
      allowedHosts: isOpen || tenants.keys.some(isDefaultKey) ? settings.ALLOWED_HOSTS : null,
      corsOrigins: settings.CORS_ORIGINS,
      bodyPace: {
        idleTimeoutMs: settings.UPLOAD_IDLE_TIMEOUT_SECONDS * 1000,
        minBytesPerSecond: settings.UPLOAD_MIN_BYTES_PER_SECOND,
      },
      keepAliveMs: settings.KEEP_ALIVE_SECONDS * 1000,
      maxConnections: settings.MAX_CONNECTIONS,
      drainMs: settings.DRAIN_SECONDS * 1000,
      trustsProxy: settings.TRUST_PROXY,
    },
    temporal: {
      address: settings.TEMPORAL_ADDRESS,
      namespace: settings.TEMPORAL_NAMESPACE,
      tls: isTls(settings),
      serverName: settings.TEMPORAL_TLS_SERVER_NAME ?? null,
    },
    buildId: settings.BUILD_ID ?? null,
    store: s3 === null ? { kind: 'embedded', folder: storeFolder(settings, dataDir) } : { kind: 's3', ...bucketConfig(settings, s3) },
    upstreams,
    tenants: { ...tenantConfig, settings: tenants.settings },
    batches: {
      completionWindows: settings.COMPLETION_WINDOWS,
      endpoints: settings.ENDPOINTS,
      limits: {
        maxRequestsPerBatch: settings.MAX_REQUESTS_PER_BATCH,
        maxBatchInputBytes: settings.MAX_BATCH_INPUT_BYTES,
        maxUploadBytes: settings.MAX_UPLOAD_BYTES,
        maxResumableUploadBytes: settings.MAX_RESUMABLE_UPLOAD_BYTES,
        maxLineBytes: settings.MAX_LINE_BYTES,
        maxEmbeddingInputs: settings.MAX_EMBEDDING_INPUTS,
      },
      prices,
      linesPerActivity: settings.LINES_PER_ACTIVITY ?? null,
      activitiesPerSecond: settings.ACTIVITIES_PER_SECOND,
      maxInFlight: settings.MAX_IN_FLIGHT_PER_BATCH,
      cancelGraceMs: settings.CANCEL_GRACE_SECONDS * 1000,
      pauseStopsWindow: settings.PAUSE_STOPS_WINDOW,
      heartbeatTimeoutMs: settings.HEARTBEAT_TIMEOUT_SECONDS * 1000,
    },
    housekeeping: {
      uploadMarkerMaxAgeMs: settings.UPLOAD_MARKER_MAX_AGE_HOURS * 3_600_000,
      sweepIntervalMs: settings.SWEEP_INTERVAL_SECONDS * 1000,
      sweepMinAgeMs: settings.SWEEP_MIN_AGE_SECONDS * 1000,
    },
    worker: { roles: settings.WORKER_ROLES, maxCachedWorkflows: settings.MAX_CACHED_WORKFLOWS ?? null },
    webhooks: { allowPrivate: settings.WEBHOOK_ALLOW_PRIVATE },
    shutdownGraceMs: settings.SHUTDOWN_GRACE_SECONDS * 1000,
    telemetry: {
      host: settings.METRICS_HOST,
      apiPort: settings.METRICS_PORT ?? null,
      workerPort: settings.WORKER_HTTP_PORT ?? null,
      tracing,
    },
    log: { level: settings.LOG_LEVEL, format: settings.LOG_FORMAT },
    local: {
      dataDir,
      keysFile: s3?.from === 'data folder' ? keysFile(dataDir) : null,
      temporalUiPort: settings.TEMPORAL_UI_PORT,
      exampleUpstreamPort: settings.EXAMPLE_UPSTREAM_PORT,
      exampleUpstreamWanted: upstreams.some(({ baseUrls }) => baseUrls.includes(exampleUrl(settings))),
    },
    warnings,
    secrets: {
      apiKeys: isOpen ? null : tenants.keys,
      clientKey: settings.API_KEY ?? firstPlainKey(settings.API_KEYS),
      temporalApiKey: settings.TEMPORAL_API_KEY ?? null,
      temporalTls,
      s3,
      webhookKey: settings.WEBHOOK_KEY ?? storeKey ?? null,
      upstreams: credentials,
    },
  });
}

/** The configuration without its secrets, to be shown. */
export function printable({
  secrets,
  warnings: _warnings,
  store,
  upstreams,
  ...rest
}: Config): Omit<Config, 'secrets' | 'warnings'> & { apiKeys: number } {
  return {
    ...rest,
    store: store.kind === 's3' ? { ...store, endpoint: withoutCredentials(store.endpoint) } : store,
    upstreams: upstreams.map((upstream) => ({ ...upstream, baseUrls: upstream.baseUrls.map(withoutCredentials) })),
    apiKeys: secrets.apiKeys?.length ?? 0,
  };
}

function bucketConfig(settings: Settings, access: S3Access): BucketConfig {
  return {
    endpoint: settings.S3_ENDPOINT,
    bucket: settings.S3_BUCKET,
    region: settings.S3_REGION,
    prefix: keyPrefixOf(settings.S3_PREFIX),
    credentials: access.from === 'AWS' ? `AWS: ${access.source.kind}` : access.from,
  };
}

function isTls(settings: Settings): boolean {
  const asks = ['TEMPORAL_API_KEY', 'TEMPORAL_TLS_CA_FILE', 'TEMPORAL_TLS_CERT_FILE', 'TEMPORAL_TLS_SERVER_NAME'] as const;
  return settings.TEMPORAL_TLS || asks.some((name) => settings[name] !== undefined);
}

function readSettings(env: NodeJS.ProcessEnv, faults: string[]): Settings {
  // NOTE: an empty value counts as none, because compose files write NAME=${NAME:-}.
  const given = Object.fromEntries(
    Object.keys(settingsSchema.shape).flatMap((name) => (isSet(env, name) ? [[name, env[PREFIX + name]]] : [])),
  );
  const parsed = settingsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const faulty = new Set(parsed.error.issues.map((issue) => String(issue.path[0])));
  for (const issue of parsed.error.issues) {
    const name = String(issue.path[0]);
    const isSecret = ALL_SECRETS.some((secret) => secret === name);
    const shown = isSecret ? '' : `, not ${JSON.stringify(cutText(withoutCredentials(given[name] ?? ''), 80))}`;
    faults.push(`${PREFIX}${name} ${issue.message}${shown}`);
  }
  // The faulty ones fall back to their defaults, so that what else is wrong is found in the same run.
  return settingsSchema.parse(Object.fromEntries(Object.entries(given).filter(([name]) => !faulty.has(name))));
}

function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) if (typeof each === 'object' && each !== null) freeze(each);
  return Object.freeze(value);
}
