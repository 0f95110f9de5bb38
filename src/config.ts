import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { type ApiKey, firstPlainKey, readApiKeys } from './api-keys.ts';
import { ConfigError } from './config-error.ts';
import { ensureLocalKeys, keysFile, readLocalKeys, type S3Keys } from './local-keys.ts';
import { PREFIX, readPriority, readWeight, SECRET_SETTINGS, type SettingName, type Settings, settingsSchema } from './settings.ts';
import { readTracing, type Sampling } from './tracing-settings.ts';
import { readUpstreamsFile, type UpstreamConfig, type UpstreamCredentials } from './upstreams-file.ts';
import { withoutCredentials } from './wire-values.ts';
import type { Limits, TenantLimits } from './domain/limits.ts';

/** Everything a process of ours is told from outside: checked, frozen, and printable but for `secrets`. Times are milliseconds. */
export interface Config {
  api: {
    host: string;
    port: number;
    bodyPace: { idleTimeoutMs: number; minBytesPerSecond: number };
    keepAliveMs: number;
    maxConnections: number;
    /** How long the process goes on serving after it was told to end, so that load balancers can see that `/ready` fails. */
    drainMs: number;
    /** Whether a proxy in front says who the client is, and which trace a request belongs to. */
    trustsProxy: boolean;
    tenantLimits: TenantLimits;
  };
  temporal: { address: string; namespace: string; tls: boolean };
  /** The version that a worker serves; null serves whatever there is. */
  buildId: string | null;
  s3: { endpoint: string; bucket: string; region: string };
  /** Empty in the API, which sends no requests. */
  upstreams: UpstreamConfig[];
  /** Tenants that get more or less of full queues than the 1 of all others. */
  tenantWeights: Record<string, number>;
  /** Tenants whose batches may have another best priority than 3. */
  tenantPriorities: Record<string, number>;
  batches: {
    completionWindows: string[];
    /** Further endpoints than those of the wire contract. */
    endpoints: string[];
    limits: Limits;
    /** Null lets the size of slices follow the pace. */
    linesPerActivity: number | null;
    activitiesPerSecond: number;
    maxInFlight: number;
    cancelGraceMs: number;
    heartbeatTimeoutMs: number;
  };
  housekeeping: { uploadMarkerMaxAgeMs: number; sweepIntervalMs: number; sweepMinAgeMs: number };
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
  /** Never logged. */
  secrets: {
    apiKeys: ApiKey[];
    /** A key that the API accepts, for a client on this machine; null when none is needed or none is known in plain. */
    clientKey: string | null;
    temporalApiKey: string | null;
    s3: S3Keys;
    /** By name of the upstream. */
    upstreams: Record<string, UpstreamCredentials>;
  };
}

/** The environment of this process, with the `.env` file of the working folder below it. Throws `ConfigError` when that cannot be read. */
export function environment(): NodeJS.ProcessEnv {
  try {
    process.loadEnvFile();
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!missing) throw new ConfigError([`.env cannot be read: ${error instanceof Error ? error.message : String(error)}`]);
  }
  return process.env;
}

/** What a command of the client reads: the environment, and the `.env` file of the working folder apart from it. */
export function clientEnvironment(): { env: NodeJS.ProcessEnv; file: NodeJS.Dict<string> } {
  const file = existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {};
  return { env: process.env, file };
}

/** Goes to the folder where the user typed the command: npm runs its scripts in the folder of the package. */
export function enterUserFolder(): void {
  const { INIT_CWD: folder, npm_lifecycle_event: script } = process.env;
  if (script === 'nightshift' && folder !== undefined) process.chdir(folder);
}

/** Makes the configuration of a process out of an environment. Throws one `ConfigError` with every fault found. */
export function loadConfig(env: NodeJS.ProcessEnv, role: 'api' | 'worker' | 'local'): Config {
  const { settings, faults } = readSettings(env);
  const apiKeys = readApiKeys(settings.API_KEYS, faults);
  if (role !== 'worker' && settings.API_KEYS === undefined && !isLoopback(settings.API_HOST)) {
    faults.push(`NIGHTSHIFT_API_HOST is ${settings.API_HOST}, which others can reach: set NIGHTSHIFT_API_KEYS, or listen on 127.0.0.1`);
  }
  const { upstreams, credentials } = role === 'api' ? { upstreams: [], credentials: {} } : readUpstreams(settings, env, faults);
  const dataDir = resolve(settings.DATA_DIR);
  const tracing = readTracing(env, faults);
  const s3Keys = readS3Keys(settings, dataDir, role, faults);
  if (faults.length > 0 || s3Keys === null) throw new ConfigError(faults);

  return freeze({
    api: {
      host: settings.API_HOST,
      port: settings.API_PORT,
      bodyPace: {
        idleTimeoutMs: settings.UPLOAD_IDLE_TIMEOUT_SECONDS * 1000,
        minBytesPerSecond: settings.UPLOAD_MIN_BYTES_PER_SECOND,
      },
      keepAliveMs: settings.KEEP_ALIVE_SECONDS * 1000,
      maxConnections: settings.MAX_CONNECTIONS,
      drainMs: settings.DRAIN_SECONDS * 1000,
      trustsProxy: settings.TRUST_PROXY,
      tenantLimits: {
        requestsPerMinute: settings.TENANT_REQUESTS_PER_MINUTE ?? null,
        batchesPerHour: settings.TENANT_BATCHES_PER_HOUR ?? null,
        maxOpenBatches: settings.TENANT_MAX_OPEN_BATCHES ?? null,
        maxStoredBytes: settings.TENANT_MAX_STORED_BYTES ?? null,
      },
    },
    temporal: {
      address: settings.TEMPORAL_ADDRESS,
      namespace: settings.TEMPORAL_NAMESPACE,
      tls: settings.TEMPORAL_TLS || settings.TEMPORAL_API_KEY !== undefined,
    },
    buildId: settings.BUILD_ID ?? null,
    s3: { endpoint: settings.S3_ENDPOINT, bucket: settings.S3_BUCKET, region: settings.S3_REGION },
    upstreams,
    tenantPriorities: Object.fromEntries(settings.TENANT_PRIORITIES.map(readPriority).filter((priority) => priority !== null)),
    tenantWeights: Object.fromEntries(settings.TENANT_WEIGHTS.map(readWeight).filter((weight) => weight !== null)),
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
      linesPerActivity: settings.LINES_PER_ACTIVITY ?? null,
      activitiesPerSecond: settings.ACTIVITIES_PER_SECOND,
      maxInFlight: settings.MAX_IN_FLIGHT_PER_BATCH,
      cancelGraceMs: settings.CANCEL_GRACE_SECONDS * 1000,
      heartbeatTimeoutMs: settings.HEARTBEAT_TIMEOUT_SECONDS * 1000,
    },
    housekeeping: {
      uploadMarkerMaxAgeMs: settings.UPLOAD_MARKER_MAX_AGE_HOURS * 3_600_000,
      sweepIntervalMs: settings.SWEEP_INTERVAL_SECONDS * 1000,
      sweepMinAgeMs: settings.SWEEP_MIN_AGE_SECONDS * 1000,
    },
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
      keysFile: settings.S3_ACCESS_KEY === undefined ? keysFile(dataDir) : null,
      temporalUiPort: settings.TEMPORAL_UI_PORT,
      exampleUpstreamPort: settings.EXAMPLE_UPSTREAM_PORT,
      exampleUpstreamWanted: upstreams.some(({ baseUrls }) => baseUrls.includes(exampleUrl(settings))),
    },
    secrets: {
      apiKeys,
      clientKey: settings.API_KEY ?? firstPlainKey(settings.API_KEYS),
      temporalApiKey: settings.TEMPORAL_API_KEY ?? null,
      s3: s3Keys,
      upstreams: credentials,
    },
  });
}

/** The configuration without its secrets, to be logged at boot. */
export function printable({ secrets, s3, upstreams, ...rest }: Config): Omit<Config, 'secrets'> & { apiKeys: number } {
  return {
    ...rest,
    s3: { ...s3, endpoint: withoutCredentials(s3.endpoint) },
    upstreams: upstreams.map((upstream) => ({ ...upstream, baseUrls: upstream.baseUrls.map(withoutCredentials) })),
    apiKeys: secrets.apiKeys.length,
  };
}

/** Variables with our prefix that mean nothing to us, most likely misspelt. */
export function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known: ReadonlySet<string> = new Set(Object.keys(settingsSchema.shape).map((name) => PREFIX + name));
  return Object.keys(env).filter((name) => name.startsWith(PREFIX) && !known.has(name));
}

/** Whether a host is this machine's own, so that nobody else can connect to it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function readSettings(env: NodeJS.ProcessEnv): { settings: Settings; faults: string[] } {
  // NOTE: an empty value counts as none, because compose files write NAME=${NAME:-}.
  const given = Object.fromEntries(
    Object.keys(settingsSchema.shape).flatMap((name) => (isSet(env, name) ? [[name, env[PREFIX + name]]] : [])),
  );
  const parsed = settingsSchema.safeParse(given);
  if (parsed.success) return { settings: parsed.data, faults: [] };
  const faulty = new Set(parsed.error.issues.map((issue) => String(issue.path[0])));
  const faults = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    const shown = SECRET_SETTINGS.has(name) ? '' : `, not ${JSON.stringify(withoutCredentials(given[name] ?? ''))}`;
    return `${PREFIX}${name} ${issue.message}${shown}`;
  });
  // The faulty ones fall back to their defaults, so that what else is wrong is found in the same run.
  const settings = settingsSchema.parse(Object.fromEntries(Object.entries(given).filter(([name]) => !faulty.has(name))));
  return { settings, faults };
}

/** The variables that a file of upstreams replaces. */
const SINGLE_UPSTREAM = [
  'UPSTREAM_URL',
  'UPSTREAM_API_KEY',
  'UPSTREAM_MAX_IN_FLIGHT',
  'UPSTREAM_LIMITER',
  'UPSTREAM_REQUESTS_PER_MINUTE',
  'UPSTREAM_TOKENS_PER_MINUTE',
  'UPSTREAM_REQUEST_TIMEOUT_SECONDS',
] as const;

function readUpstreams(settings: Settings, env: NodeJS.ProcessEnv, faults: string[]) {
  if (settings.UPSTREAMS_FILE !== undefined) {
    for (const name of SINGLE_UPSTREAM) {
      if (isSet(env, name)) faults.push(`${PREFIX}${name} has no effect beside NIGHTSHIFT_UPSTREAMS_FILE: set one of the two`);
    }
    return readUpstreamsFile(resolve(settings.UPSTREAMS_FILE), env, faults);
  }
  const url = isSet(env, 'UPSTREAM_URL') ? settings.UPSTREAM_URL : exampleUrl(settings);
  const upstream: UpstreamConfig = {
    name: 'default',
    baseUrls: [url],
    models: null,
    maxInFlight: settings.UPSTREAM_MAX_IN_FLIGHT,
    limiter: settings.UPSTREAM_LIMITER,
    requestsPerMinute: settings.UPSTREAM_REQUESTS_PER_MINUTE ?? null,
    tokensPerMinute: settings.UPSTREAM_TOKENS_PER_MINUTE ?? null,
    requestTimeoutMs: settings.UPSTREAM_REQUEST_TIMEOUT_SECONDS * 1000,
    maxResponseBytes: 67_108_864,
    maxFaults: 5,
    maxRefusals: 20,
    unavailableMaxMs: null,
  };
  return { upstreams: [upstream], credentials: { default: { apiKey: settings.UPSTREAM_API_KEY ?? null, headers: {} } } };
}

/** Where the example upstream of `nightshift local` listens. */
function exampleUrl(settings: Settings): string {
  return `http://127.0.0.1:${settings.EXAMPLE_UPSTREAM_PORT}/v1`;
}

function readS3Keys(settings: Settings, dataDir: string, role: string, faults: string[]): S3Keys | null {
  const { S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey } = settings;
  if (accessKey !== undefined && secretKey !== undefined) return { accessKey, secretKey };
  for (const [name, value, other] of [
    ['S3_ACCESS_KEY', accessKey, secretKey],
    ['S3_SECRET_KEY', secretKey, accessKey],
  ] as const) {
    if (value === undefined && other !== undefined) faults.push(`${PREFIX}${name} is missing: the two S3 keys go together`);
  }
  if (accessKey !== undefined || secretKey !== undefined) return null;
  const local = role === 'local' && faults.length === 0 ? ensureLocalKeys(dataDir) : readLocalKeys(dataDir);
  if (local === null && role !== 'local')
    faults.push(
      'NIGHTSHIFT_S3_ACCESS_KEY and NIGHTSHIFT_S3_SECRET_KEY are missing, and `nightshift local` has made none in NIGHTSHIFT_DATA_DIR',
    );
  return local;
}

function isSet(env: NodeJS.ProcessEnv, name: SettingName | string): boolean {
  return (env[PREFIX + name] ?? '') !== '';
}

function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) if (typeof each === 'object' && each !== null) freeze(each);
  return Object.freeze(value);
}
