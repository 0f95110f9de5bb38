import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { stdout } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { batchPolicy } from './batch-policy.ts';
import { followTenants } from './follow-tenants.ts';
import { openStore, prepareStore } from './open-store.ts';
import { openWebhooks } from './open-webhooks.ts';
import { createTenantBuckets } from './tenant-buckets.ts';
import { temporalAddress } from './temporal-address.ts';
import { endOnUncaught } from './end-on-uncaught.ts';
import { limitHeapGrowth } from './limit-heap-growth.ts';
import { createShutdown } from './shutdown.ts';
import { serveOperatorPort, reachable, startTelemetry } from './start-telemetry.ts';
import { createApp } from '../api/app.ts';
import { CONNECTION_BOUNDS, createHttpServer } from '../api/http-server.ts';
import { createApiKeys, NO_KEYS } from '../api/middleware/authentication.ts';
import { loadConfig, printable } from '../config/config.ts';
import { parseCompletionWindow } from '../domain/completion-window.ts';
import { DEFAULT_ENDPOINTS } from '../domain/endpoint.ts';
import { createPriceTable } from '../domain/prices.ts';
import { environment } from '../config/environment.ts';
import { isDefaultKey } from '../config/default-secrets.ts';
import { createLogger } from '../telemetry/logger.ts';
import { createBatchStore } from '../storage/batch-store.ts';
import { createFileStore } from '../storage/file-store.ts';
import { createModelStore } from '../storage/model-store.ts';
import { createPauseStore } from '../storage/pause-store.ts';
import { createPieceStore } from '../storage/piece-store.ts';
import { createResultStore } from '../storage/result-store.ts';
import { createPartPool } from '../storage/part-pool.ts';
import { createUsageStore } from '../storage/usage-store.ts';
import { createWorkerStateStore } from '../storage/worker-state-store.ts';
import { createWebhookStore } from '../storage/webhook-store.ts';
import { createUploadStore } from '../storage/upload-store.ts';
import { createBatchRuns } from '../temporal/batch-runs.ts';
import { isLoopback } from '../config/wire-values.ts';
import { traceStarts } from '../telemetry/temporal-tracing.ts';
import { watchBatchRuns } from '../telemetry/watch-batch-runs.ts';
import { watchBatchStore } from '../telemetry/watch-batch-store.ts';
import { watchHttp } from '../telemetry/watch-http.ts';
import { watchObjectStore } from '../telemetry/watch-object-store.ts';
import { connectTemporal } from '../temporal/connection.ts';

const HELP = `nightshift api

Serves the HTTP API. It starts even while the bucket or Temporal is away: GET /ready tells. Settings: docs/configuration.md.
`;

/** A bucket that has not begun to answer by then counts as away: who asks the API hears of it before it gives up itself. */
const BUCKET_ANSWER_MS = 8_000;
/** Part buffers that all uploads of the process share. */
const UPLOAD_PARTS = 16;

/** `nightshift api`: serves until a signal ends it. Answers the exit code. */
export async function serveApi(args: string[]): Promise<number> {
  if (args.length > 0) return (stdout.write(HELP), args[0] === '--help' || args[0] === '-h' ? 0 : 2);
  limitHeapGrowth();
  const config = loadConfig(environment(), 'api');
  const logger = createLogger(config.log, 'api');
  endOnUncaught(logger);
  logger.info({ config: printable(config) }, 'starting');
  for (const warning of config.warnings) logger.warn(warning);
  const shutdown = createShutdown({ deadlineMs: config.api.drainMs + config.shutdownGraceMs, logger });

  const { metrics, tracing } = await startTelemetry(config, 'api', shutdown, logger);
  const [nowMs, monotonicMs] = [Date.now, () => performance.now()];
  const objectStore = watchObjectStore(openStore(config, { answerMs: BUCKET_ANSWER_MS }), { metrics, monotonicMs });
  shutdown.closes('object store', () => objectStore.close());
  const interceptors = tracing.isOn ? [traceStarts(tracing)] : [];
  const { client, connection } = connectTemporal(temporalAddress(config), interceptors);
  shutdown.closes('connection to Temporal', async () => await connection.close());

  const randomHex = (bytes: number) => randomBytes(bytes).toString('hex');
  const newNonce = () => randomHex(12);
  const parts = createPartPool(UPLOAD_PARTS);
  const isOpen = config.secrets.apiKeys === null;
  const tenants = followTenants(config, { signal: shutdown.draining, logger });
  const runs = watchBatchRuns(createBatchRuns({ client, policy: batchPolicy(config), settingsOf: tenants.settingsOf }), {
    metrics,
    tracing,
  });
  const pieces = createPieceStore({ store: objectStore, newNonce, parts });
  const ownBuckets = createTenantBuckets({ settingsOf: tenants.settingsOf, answerMs: BUCKET_ANSWER_MS, monotonicMs });
  shutdown.closes('buckets of tenants', () => ownBuckets.close());
  const onMarkerLeft = (batch: string, err: unknown) => logger.warn({ err, batch }, 'the open marker of a batch was written only once');
  const files = createFileStore({
    store: objectStore,
    nowMs: Date.now,
    newNonce,
    parts,
    onBytesLeft: (content, err) =>
      logger.warn({ err, content }, 'the content of a deleted file or an upload could not be removed; the sweep will remove it'),
  });
  const app = createApp({
    files,
    results: createResultStore({ store: objectStore, pieces, files }),
    uploads: createUploadStore({ store: objectStore, newNonce, parts }),
    batches: watchBatchStore(createBatchStore({ store: objectStore, onMarkerLeft }), { metrics, nowMs, logger }),
    models: createModelStore({ store: objectStore, nowMs }),
    prices: config.batches.prices === null ? null : createPriceTable(config.batches.prices),
    usage: createUsageStore(objectStore),
    pauses: createPauseStore({ store: objectStore }),
    ownBucketOf: ownBuckets.of,
    workerStates: createWorkerStateStore({ store: objectStore }),
    webhooks: createWebhookStore({ store: objectStore }),
    webhookSigner: openWebhooks(config, shutdown),
    runs,
    objectStore,
    keys: isOpen ? NO_KEYS : createApiKeys(() => tenants.current().keys, nowMs),
    limits: config.batches.limits,
    settingsOf: tenants.settingsOf,
    endpoints: [...new Set([...DEFAULT_ENDPOINTS, ...config.batches.endpoints])],
    completionWindows: new Map(config.batches.completionWindows.map((name) => [name, parseCompletionWindow(name) ?? 0])),
    pauseStopsWindow: config.batches.pauseStopsWindow,
    bodyPace: config.api.bodyPace,
    browserRules: config.api,
    draining: shutdown.draining,
    trustsProxy: config.api.trustsProxy,
    nowMs,
    monotonicMs,
    randomHex,
    logger,
    outermost: watchHttp({ metrics, tracing, trustsTraces: config.api.trustsProxy || isLoopback(config.api.host), monotonicMs }),
  });

  const server = createHttpServer(app, randomHex, {
    ...CONNECTION_BOUNDS,
    // Longer than an upload may stand still, so that it is told so with 408.
    idleMs: Math.max(CONNECTION_BOUNDS.idleMs, 2 * config.api.bodyPace.idleTimeoutMs),
    keepAliveMs: config.api.keepAliveMs,
    maxConnections: config.api.maxConnections,
  });
  server.listen(config.api.port, config.api.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    logger.fatal({ err: error }, taken ? `port ${config.api.port} is taken: set NIGHTSHIFT_API_PORT` : 'the API cannot listen');
    return 1;
  }
  const { host, apiPort: port } = config.telemetry;
  const ready = async () => {
    const found = await reachable({ runs, store: objectStore });
    return { ready: found.bucket && !shutdown.draining.aborted, ...found };
  };
  await serveOperatorPort({ host, port, metrics, temporalMetrics: null, ready }, shutdown, logger);
  shutdown.closes('HTTP server', async () => {
    await delay(config.api.drainMs);
    const closed = once(server, 'close');
    server.close();
    server.closeIdleConnections();
    await closed;
  });
  const address = server.address();
  logger.info({ address }, 'the API listens');
  if (tenants.current().keys.some(isDefaultKey)) {
    logger.warn('a tenant has the key "local-key", which everybody knows: replace it before you put a proxy in front');
  }
  if (isOpen) {
    logger.warn(
      `no NIGHTSHIFT_API_KEYS: everybody who reaches ${config.api.host} is tenant default${isLoopback(config.api.host) ? ', which is this machine only' : ''}`,
    );
  }

  // In the background, so that the API can say that the bucket is away instead of being away itself.
  const bucket = prepareStore({ at: config.store, store: objectStore, newNonce }, { logger, signal: shutdown.draining });
  bucket.catch((error: unknown) => (shutdown.draining.aborted ? undefined : shutdown.fail(error)));
  return await shutdown.ended();
}
