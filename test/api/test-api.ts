import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';
import { type AppDeps, createApp } from '../../src/api/app.ts';
import { createHttpServer } from '../../src/api/http-server.ts';
import { createApiKeys } from '../../src/api/middleware/authentication.ts';
import type { BatchRecord } from '../../src/domain/batch.ts';
import { DEFAULT_ENDPOINTS } from '../../src/domain/endpoint.ts';
import { DEFAULT_LIMITS, type TenantLimits } from '../../src/domain/limits.ts';
import { DEFAULT_TENANT, type TenantSettingsOf } from '../../src/domain/tenant.ts';
import { type BatchStore, createBatchStore } from '../../src/storage/batch-store.ts';
import { createFileStore, type FileStore } from '../../src/storage/file-store.ts';
import { createModelStore } from '../../src/storage/model-store.ts';
import { createUsageStore } from '../../src/storage/usage-store.ts';
import { createWorkerStateStore } from '../../src/storage/worker-state-store.ts';
import { createWebhookStore } from '../../src/storage/webhook-store.ts';
import { createWebhooks } from '../../src/webhooks/webhooks.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPauseStore } from '../../src/storage/pause-store.ts';
import { createPieceStore } from '../../src/storage/piece-store.ts';
import { createResultStore } from '../../src/storage/result-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createUploadStore } from '../../src/storage/upload-store.ts';
import type { BatchRuns } from '../../src/temporal/batch-runs.ts';
import type { QueueListing } from '../../src/domain/upstream-queue.ts';
import type { Progress } from '../../workflows/contract.ts';
import { until } from '../helpers/until.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';

/** A Temporal that remembers what it was told, runs nothing and can be away or silent. */
export interface TestRuns extends BatchRuns {
  readonly started: string[];
  readonly cancelled: string[];
  /** What the queues of upstreams answer. */
  queues: Map<string, QueueListing[]>;
  /** Batches that were told of a changed record. */
  readonly told: string[];
  /** Batches whose progress was asked for. */
  readonly asked: string[];
  state: 'up' | 'away' | 'silent';
  /** Before it answers. */
  takesMs: number;
  progressOf: Map<string, Pick<Progress, 'completed' | 'failed'> & Partial<Progress>>;
}

/** The API over real HTTP on a port of its own, with real stores and a clock that can be moved. */
export interface TestApi extends AsyncDisposable {
  readonly origin: string;
  readonly port: number;
  readonly server: Server;
  readonly runs: TestRuns;
  readonly files: FileStore;
  readonly batches: BatchStore;
  readonly store: ObjectStore;
  /** What the app is made of. */
  readonly deps: AppDeps;
  /** Every line of the log: fields and message. */
  readonly log: { level: string; message: string; [field: string]: unknown }[];
  /** Moves the clock of the API. */
  advance(ms: number): void;
  nowSeconds(): number;
  client(key?: string, options?: ConstructorParameters<typeof OpenAI>[0]): OpenAI;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** A socket that has sent these bytes. */
  send(bytes: string | Buffer): Promise<Socket>;
}

export const KEYS = { 'key-a': 'tenant-a', 'key-b': 'tenant-b' } as const;

const ENTRIES = Object.entries(KEYS).map(([key, tenant]) => ({
  tenant,
  sha256Hex: createHash('sha256').update(key).digest('hex'),
  expiresAtMs: null,
}));

/** Nothing is limited, as without configuration. */
export const NO_LIMITS: TenantLimits = { requestsPerMinute: null, batchesPerHour: null, maxOpenBatches: null, maxStoredBytes: null };

/** The same limits for each tenant. */
export function limitedTo(limits: TenantLimits): TenantSettingsOf {
  return () => ({ ...DEFAULT_TENANT, limits });
}

/** Starts an API on a bucket; options replace what it is made of. */
export async function startTestApi(bucket: Pick<TestBucket, 'store'>, options: Partial<AppDeps> = {}): Promise<TestApi> {
  let offsetMs = 0;
  const nowMs = () => Date.now() + offsetMs;
  const runs = createTestRuns();
  const log: TestApi['log'] = [];
  const write = (level: string) => (fields: object, message: string) => void log.push({ ...fields, level, message });
  const { store } = bucket;
  const [newNonce, parts] = [() => randomBytes(8).toString('hex'), createPartPool(4)];
  const files = createFileStore({ store, nowMs, newNonce, parts });
  const batches = createBatchStore({ store });
  const randomHex = (bytes: number) => randomBytes(bytes).toString('hex');
  const deps: AppDeps = {
    files,
    uploads: createUploadStore({ store, newNonce, parts }),
    batches,
    results: createResultStore({ store, pieces: createPieceStore({ store, newNonce, parts }), files }),
    models: createModelStore({ store, nowMs }),
    prices: null,
    usage: createUsageStore(store),
    pauses: createPauseStore({ store }),
    ownBucketOf: () => null,
    workerStates: createWorkerStateStore({ store }),
    webhooks: createWebhookStore({ store }),
    webhookSigner: createWebhooks({ key: 'test', allowPrivate: true, nowMs }),
    runs,
    objectStore: store,
    draining: new AbortController().signal,
    trustsProxy: false,
    keys: createApiKeys(() => ENTRIES, nowMs),
    limits: DEFAULT_LIMITS,
    settingsOf: (tenant) => ({ ...DEFAULT_TENANT, bestPriority: tenant === 'tenant-a' ? 1 : 3, isOperator: tenant === 'tenant-a' }),
    endpoints: DEFAULT_ENDPOINTS,
    completionWindows: new Map([['24h', 86_400_000]]),
    browserRules: { allowedHosts: null, corsOrigins: [] },
    pauseStopsWindow: false,
    bodyPace: { idleTimeoutMs: 10_000, minBytesPerSecond: 1024 },
    nowMs,
    monotonicMs: () => performance.now() + offsetMs,
    randomHex,
    logger: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    ...options,
  };
  const server = createHttpServer(createApp(deps), randomHex).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const origin = `http://127.0.0.1:${address.port}`;
  return {
    origin,
    port: address.port,
    server,
    runs,
    files,
    batches,
    store,
    deps,
    log,
    advance: (ms) => void (offsetMs += ms),
    nowSeconds: () => Math.floor(nowMs() / 1000),
    client: (key = 'key-a', more = {}) => new OpenAI({ baseURL: `${origin}/v1`, apiKey: key, maxRetries: 0, ...more }),
    fetch: async (path, init = {}) =>
      await fetch(origin + path, { ...init, headers: { authorization: 'Bearer key-a', ...Object(init.headers) } }),
    async send(bytes) {
      const socket = connect(address.port, '127.0.0.1');
      await once(socket, 'connect');
      socket.on('error', () => {});
      socket.write(bytes);
      return socket;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** An API with a bucket of its own. */
export async function startWholeTestApi(options: Partial<AppDeps> = {}): Promise<TestApi> {
  const bucket = await startTestBucket();
  const api = await startTestApi(bucket, options);
  return {
    ...api,
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await bucket[Symbol.asyncDispose]();
    },
  };
}

/** What an error answer must look like, checked, and its error. */
export async function envelopeOf(answer: Response): Promise<{ message: string; type: string; param: string | null; code: string | null }> {
  const text = await answer.text();
  if (answer.headers.get('content-type') !== 'application/json') throw new Error(`no JSON: ${text}`);
  if (!/^req_[0-9a-f]{32}$/.test(answer.headers.get('x-request-id') ?? '')) throw new Error('no x-request-id');
  const { error, ...rest } = JSON.parse(text);
  const keys = Object.keys(error).sort().join();
  if (keys !== 'code,message,param,type' || Object.keys(rest).length > 0) throw new Error(`not the envelope: ${text}`);
  return error;
}

/** Everything a socket receives until the other side ends it, or until it matches. */
export async function received(socket: Socket, enough = /(?!)/): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await until(() => enough.test(text) || socket.closed, { what: `an answer on the socket`, everyMs: 10 });
  return text;
}

function createTestRuns(): TestRuns {
  const runs: TestRuns = {
    started: [],
    cancelled: [],
    told: [],
    queues: new Map(),
    asked: [],
    state: 'up',
    takesMs: 0,
    progressOf: new Map(),
    async start(record: BatchRecord) {
      await reach();
      runs.started.push(record.batch.id);
    },
    async cancel(id) {
      await reach();
      runs.cancelled.push(id);
    },
    async tellChanged(id) {
      await reach();
      runs.told.push(id);
    },
    async progress(id) {
      runs.asked.push(id);
      await reach();
      const found = runs.progressOf.get(id);
      return found === undefined ? null : { unclosed: [], ...found };
    },
    queue: async (upstream) => runs.queues.get(upstream) ?? null,
    startDelivery: reach,
    running: async () => new Set(runs.started),
    describe: async () => null,
    restart: reach,
    ping: reach,
  };
  async function reach(): Promise<void> {
    if (runs.takesMs > 0) await delay(runs.takesMs);
    if (runs.state === 'silent') await new Promise(() => {});
    if (runs.state === 'away') throw Object.assign(new Error('Temporal is away'), { name: 'TemporalUnavailable' });
  }
  return runs;
}
