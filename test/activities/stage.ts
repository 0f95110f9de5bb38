import { randomBytes } from 'node:crypto';
import { ActivityNotFoundError, Client, Connection } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { ActivityDeps } from '../../activities/deps.ts';
import { type Activities, createActivities } from '../../activities/index.ts';
import { type ExampleUpstream, startExampleUpstream } from '../../examples/upstream.ts';
import type { Batch, BatchRecord } from '../../src/domain/batch.ts';
import { newBatchId, newFileId } from '../../src/domain/ids.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createBatchStore } from '../../src/storage/batch-store.ts';
import { createFileStore } from '../../src/storage/file-store.ts';
import { createResultCopies } from '../../src/storage/own-bucket.ts';
import { createUsageStore } from '../../src/storage/usage-store.ts';
import { createWebhookStore } from '../../src/storage/webhook-store.ts';
import { createHousekeeping } from '../../src/storage/housekeeping.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import type { PieceEntry } from '../../src/domain/piece.ts';
import { createPieceStore } from '../../src/storage/piece-store.ts';
import { type Clocks, createUpstreams, type UpstreamOptions } from '../../src/upstream/create-upstreams.ts';
import { createModelRoutes } from '../../src/domain/model-routes.ts';
import { sleep } from '../../src/async/sleep.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import type { RunRequestsInput, ValidatedInput } from '../../workflows/contract.ts';
import { PLAIN_UPSTREAM } from '../upstream/upstream-options.ts';
import { collect, startTestBucket, type TestBucket } from '../storage/test-bucket.ts';

export const TENANT = 'tenant-a';
export const ENDPOINT = '/v1/chat/completions';
const DAY_MS = 86_400_000;
const NO_CONNECTION = Connection.lazy({ address: '127.0.0.1:1' });

/** Activities on a real bucket and in front of a real HTTP server, without Temporal. */
export interface Stage extends AsyncDisposable {
  readonly bucket: TestBucket;
  readonly upstream: ExampleUpstream;
  readonly deps: ActivityDeps;
  /** Activities of one more worker process, with other dependencies where given. */
  worker(changes?: Partial<ActivityDeps>): Activities;
  /** Uploads the input and makes the batch, still `validating`. */
  submit(input: string | Buffer | Iterable<Buffer>, options?: { endpoint?: string; windowMs?: number }): Promise<StagedBatch>;
  /** As `submit`, validated and `in_progress`. */
  begin(input: string, options?: { windowMs?: number; routes?: ActivityDeps['routes'] }): Promise<StagedBatch & { plan: Accepted }>;
  record(batch: StagedBatch): Promise<Batch>;
  entries(batch: StagedBatch, shard?: number): Promise<PieceEntry[]>;
  /** The parsed lines of a result file; none when there is no file. */
  resultLines(
    fileId: string | null,
  ): Promise<{ id: string; custom_id: string; response: { status_code: number; body: unknown } | null; error: { code: string } | null }[]>;
}

export type Accepted = Extract<ValidatedInput, { verdict: 'accepted' }>;

export interface StagedBatch {
  tenant: string;
  batchId: string;
  endpoint: string;
  inputFileId: string;
  expiresAtMs: number;
  /** For `validateInput`. */
  isPlanned: boolean;
}

/** The example upstream as a worker knows it. */
export function createStageUpstreams(
  { url }: Pick<ExampleUpstream, 'url'>,
  changes: Partial<UpstreamOptions> = {},
  // An attempt that fails need not wait long to learn that it failed alone.
  clocks: Clocks = { nowMs: Date.now, monotonicMs: () => performance.now(), settleMs: 20 },
): Map<string, Upstream> {
  const options: UpstreamOptions = {
    ...PLAIN_UPSTREAM,
    baseUrls: [`${url}/v1`],
    maxInFlight: 64,
    requestTimeoutMs: 20_000,
    maxResponseBytes: 64 * 1024 * 1024,
  };
  return createUpstreams([{ ...options, ...changes }], {}, undefined, clocks);
}

export function randomHex(digits: number): string {
  return randomBytes(Math.ceil(digits / 2))
    .toString('hex')
    .slice(0, digits);
}

export async function startStage(): Promise<Stage> {
  const [bucket, upstream] = await Promise.all([startTestBucket(), startExampleUpstream({ keep: true })]);
  const { store } = bucket;
  const parts = createPartPool(8);
  const newNonce = () => randomHex(16);
  const upstreams = createStageUpstreams(upstream);
  const deps: ActivityDeps = {
    files: createFileStore({ store, nowMs: Date.now, newNonce, parts }),
    batches: createBatchStore({ store }),
    pieces: createPieceStore({ store, newNonce, parts }),
    housekeeping: createHousekeeping({ store }),
    runs: {
      start: async () => undefined,
      cancel: async () => undefined,
      tellChanged: async () => undefined,
      progress: async () => null,
      queue: async () => null,
      running: async () => new Set(),
      describe: async () => null,
      restart: async () => undefined,
      startDelivery: async () => undefined,
      ping: async () => undefined,
    },
    copies: createResultCopies({ store, bucketOf: () => null }),
    usage: createUsageStore(store),
    webhooks: createWebhookStore({ store }),
    webhookSender: null,
    queuedBatches: { askToEnter: async () => null, ended: async () => [] },
    upstreams,
    routes: createModelRoutes([{ name: 'example', models: null }]),
    modelLists: { of: async () => null },
    workersOf: () => 1,
    limits: DEFAULT_LIMITS,
    heartbeatThrottleMs: 10_000,
    sweepMinAgeMs: 60_000,
    cancelGraceMs: 30_000,
    pauseStopsWindow: false,
    onOpenBatches: () => undefined,
    uploadMarkerMaxAgeMs: DAY_MS,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    sleep,
    random: Math.random,
    randomHex,
    draining: new AbortController().signal,
    logger: createLogger({ level: 'fatal', format: 'json' }, 'test'),
  };

  const stage: Stage = {
    bucket,
    upstream,
    deps,
    worker: (changes = {}) => createActivities({ ...deps, ...changes }),

    async submit(input, { endpoint = ENDPOINT, windowMs = DAY_MS } = {}) {
      const nowMs = Date.now();
      const inputFileId = newFileId(nowMs, randomHex(12));
      const content = await deps.files.beginContent(TENANT, inputFileId);
      for (const chunk of typeof input === 'string' || Buffer.isBuffer(input) ? [Buffer.from(input)] : input) await content.write(chunk);
      await content.complete();
      const [created_at, bytes] = [Math.floor(nowMs / 1000), content.bytes];
      await deps.files.createRecord(TENANT, {
        id: inputFileId,
        object: 'file',
        bytes,
        created_at,
        expires_at: null,
        filename: 'input.jsonl',
        purpose: 'batch',
        status: 'processed',
        status_details: null,
      });
      return await createBatch(inputFileId, endpoint, windowMs, created_at);
    },

    async begin(input, { routes = deps.routes, ...options } = {}) {
      const batch = await stage.submit(input, options);
      const worker = stage.worker({ routes });
      const plan = await run(worker.validateInput, batch);
      if (plan.verdict !== 'accepted') throw new Error(`refused: ${JSON.stringify(await deps.pieces.getPlanHead(batch.batchId))}`);
      await run(worker.saveBatch, { ...batch, to: 'in_progress', counts: null });
      return { ...batch, plan };
    },

    async record({ tenant, batchId }) {
      const record = await deps.batches.get(tenant, batchId);
      if (record === null) throw new Error('no record');
      return record.batch;
    },

    entries: async ({ batchId }, shard = 0) => (await collect(deps.pieces.listPieceEntries(batchId, shard))).flat(),

    async resultLines(fileId) {
      if (fileId === null) return [];
      const found = await deps.files.openContent(TENANT, fileId);
      if (found === null) throw new Error(`${fileId} has no content`);
      const text = Buffer.concat(await collect<Buffer>(found.body)).toString();
      if (!text.endsWith('\n')) throw new Error('the last line has no line break');
      return text
        .slice(0, -1)
        .split('\n')
        .map((line) => JSON.parse(line));
    },

    async [Symbol.asyncDispose]() {
      await Promise.all([...upstreams.values()].map(async (each) => await each.close()));
      await upstream.close();
      await bucket[Symbol.asyncDispose]();
    },
  };

  async function createBatch(inputFileId: string, endpoint: string, windowMs: number, nowSeconds: number): Promise<StagedBatch> {
    const batchId = newBatchId(Date.now(), randomHex(20));
    const batch = newBatch({ id: batchId, endpoint, inputFileId, completionWindow: '24h', windowMs, metadata: null, nowSeconds });
    const record: BatchRecord = { batch, tenant: TENANT, output_expires_after_seconds: null };
    await deps.batches.create(record);
    return { tenant: TENANT, batchId, endpoint, inputFileId, expiresAtMs: batch.expires_at * 1000, isPlanned: false };
  }

  return stage;
}

/**
 * An attempt of an activity as Temporal would start it, that a test can cancel and whose heartbeats it can read. Temporal refuses
 * heartbeats that the worker does not hold back where another attempt has taken over.
 */
export function attempt(
  info: { attempt?: number; heartbeatDetails?: unknown; activityId?: string; currentAttemptScheduledTimestampMs?: number } = {},
  { isTakenOver = false } = {},
) {
  const client = new Client({ connection: NO_CONNECTION });
  client.activity.heartbeat = async () => {
    if (isTakenOver) throw new ActivityNotFoundError('another attempt has taken over');
  };
  const environment = new MockActivityEnvironment(
    { currentAttemptScheduledTimestampMs: Date.now(), ...info },
    { client, logger: new DefaultLogger('ERROR') },
  );
  const beats: Record<string, unknown>[] = [];
  environment.on('heartbeat', (details: Record<string, unknown>) => beats.push(details));
  return {
    beats,
    run: async <I, R>(activity: (input: I) => Promise<R>, input: I): Promise<R> => await environment.run(activity, input),
    cancel: environment.cancel,
    onBeat: (listener: (details: Record<string, unknown>) => void) => environment.on('heartbeat', listener),
  };
}

/** Runs an activity as a first attempt that nothing disturbs. */
export async function run<I, R>(activity: (input: I) => Promise<R>, input: I): Promise<R> {
  return await attempt().run(activity, input);
}

/** The slice of these lines, as the workflow hands it out. */
export function slice(batch: StagedBatch, firstLine: number, lastLine: number, changes: Partial<RunRequestsInput> = {}): RunRequestsInput {
  const fresh = { faults: 0, resumed: false, contested: false, cancelGraceMs: 1_000 };
  return { ...batch, upstream: 'example', shard: 0, firstLine, lastLine, ...fresh, ...changes };
}
