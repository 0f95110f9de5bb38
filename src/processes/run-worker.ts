import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { NativeConnection } from '@temporalio/worker';
import { batchPolicy } from './batch-policy.ts';
import { cachedWorkflows, memoryLimit } from './cached-workflows.ts';
import { checkUpstreams } from './check-upstreams.ts';
import { createWorkers } from './create-workers.ts';
import { followTenants } from './follow-tenants.ts';
import { lookRegularly } from './look-regularly.ts';
import { openStore, prepareStore } from './open-store.ts';
import { openWebhooks } from './open-webhooks.ts';
import { createTenantBuckets } from './tenant-buckets.ts';
import { tellModels } from './tell-models.ts';
import { temporalAddress } from './temporal-address.ts';
import { endOnUncaught } from './end-on-uncaught.ts';
import { createRandomHex } from './random-hex.ts';
import { limitHeapGrowth } from './limit-heap-growth.ts';
import { runUntilStopped } from './run-until-stopped.ts';
import { createShutdown, type Shutdown } from './shutdown.ts';
import { freeLoopbackAddress, serveOperatorPort, reachable, startTelemetry } from './start-telemetry.ts';
import { installTemporalRuntime } from './temporal-runtime.ts';
import { retryUntilUp } from './retry-until-up.ts';
import { serveOperators } from './serve-operators.ts';
import { createPaces } from './paces.ts';
import { warnOfLimits } from './warn-of-limits.ts';
import { heartbeatThrottleMs } from '../../activities/heartbeat-timing.ts';
import { createActivities } from '../../activities/index.ts';
import { type Config, loadConfig, printable } from '../config/config.ts';
import { environment } from '../config/environment.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import { createModelRoutes } from '../domain/model-routes.ts';
import { createBatchStore } from '../storage/batch-store.ts';
import { createFileStore } from '../storage/file-store.ts';
import { createLimitStore } from '../storage/limit-store.ts';
import { createHousekeeping } from '../storage/housekeeping.ts';
import { createModelStore } from '../storage/model-store.ts';
import { createPartPool } from '../storage/part-pool.ts';
import { createResultCopies } from '../storage/own-bucket.ts';
import { createUsageStore } from '../storage/usage-store.ts';
import { createWebhookStore } from '../storage/webhook-store.ts';
import { createPieceStore } from '../storage/piece-store.ts';
import { createBatchRuns } from '../temporal/batch-runs.ts';
import { createWorkerCounts } from '../temporal/worker-counts.ts';
import { traceActivities, traceSinks, traceStarts } from '../telemetry/temporal-tracing.ts';
import { watchBatchRuns } from '../telemetry/watch-batch-runs.ts';
import { watchBatchStore } from '../telemetry/watch-batch-store.ts';
import { watchObjectStore } from '../telemetry/watch-object-store.ts';
import { watchPieceStore } from '../telemetry/watch-piece-store.ts';
import { watchSweep } from '../telemetry/watch-sweep.ts';
import { measureUpstreams, watchUpstreams } from '../telemetry/watch-upstreams.ts';
import { connectionOptions, connectTemporal } from '../temporal/connection.ts';
import { provision } from '../temporal/provision.ts';
import { createQueuedBatches } from '../temporal/queued-batches.ts';
import { ensureQueues } from '../temporal/upstream-queues.ts';
import { workflowBundle } from '../temporal/workflow-bundle.ts';
import { createUpstreams } from '../upstream/create-upstreams.ts';
import { askModels } from '../upstream/client/ask-models.ts';
import { createModelLists } from '../upstream/model-lists.ts';
import { sleep } from '../async/sleep.ts';

const HELP = `nightshift worker

Runs workflows and sends requests upstream. It waits for Temporal and the bucket. Settings: docs/configuration.md.
`;

/** Part buffers that all uploads of the process share. */
const UPLOAD_PARTS = 16;
const RETENTION_DAYS = 3;
/** A worker that keeps being started again never checks. */
const CHECK_LIMITS_AFTER_MS = 60_000;
/** What closing connections may take once the workers have drained. */
const CLOSING_MS = 3_000;
/** Where the image and the package of npm keep the workflows that were bundled when they were made. */
const BUILT_AHEAD = fileURLToPath(new URL('../../bundle', import.meta.url));

/** `nightshift worker`: works until a signal ends it. Answers the exit code. */
export async function runWorker(args: string[]): Promise<number> {
  if (args.length > 0) return (stdout.write(HELP), args[0] === '--help' || args[0] === '-h' ? 0 : 2);
  limitHeapGrowth();
  const config = loadConfig(environment(), 'worker');
  const logger = createLogger(config.log, 'worker');
  endOnUncaught(logger);
  logger.info({ config: printable(config) }, 'starting');
  for (const warning of config.warnings) logger.warn(warning);
  const shutdown = createShutdown({ deadlineMs: config.shutdownGraceMs + CLOSING_MS, logger });
  // Loaded now, so that a defect in the workflows shows before anything is waited for.
  const bundle = await workflowBundle(existsSync(BUILT_AHEAD) ? BUILT_AHEAD : join(config.local.dataDir, 'cache'));
  try {
    await start(config, bundle, shutdown, logger);
  } catch (error) {
    if (!shutdown.draining.aborted) shutdown.fail(error);
  }
  return await shutdown.ended();
}

async function start(config: Config, bundle: { codePath: string }, shutdown: Shutdown, logger: Logger): Promise<void> {
  const signal = shutdown.draining;
  const telemetry = await startTelemetry(config, 'worker', shutdown, logger);
  const { metrics, tracing } = telemetry;
  const [nowMs, monotonicMs, randomHex] = [Date.now, () => performance.now(), createRandomHex()];
  const store = watchObjectStore(openStore(config), { metrics, monotonicMs });
  shutdown.closes('object store', () => store.close());
  const { client, connection } = connectTemporal(temporalAddress(config), tracing.isOn ? [traceStarts(tracing)] : []);
  shutdown.closes('connection to Temporal', async () => await connection.close());
  const tenants = followTenants(config, { signal, logger });
  const runs = watchBatchRuns(createBatchRuns({ client, policy: batchPolicy(config), settingsOf: tenants.settingsOf }), {
    metrics,
    tracing,
  });
  const ownBuckets = createTenantBuckets({ settingsOf: tenants.settingsOf, monotonicMs });
  shutdown.closes('buckets of tenants', () => ownBuckets.close());
  const { roles } = config.worker;
  const sends = roles.includes('requests');
  if (sends) void checkUpstreams(config, logger);
  const paces = createPaces({ monotonicMs });
  const workerId = randomHex(16);
  const upstreams = createUpstreams(
    config.upstreams,
    config.secrets.upstreams,
    paces.around(watchUpstreams({ metrics, tracing, nowMs, logger })),
    undefined,
    {
      workerId,
      portFor: (server) => createLimitStore({ store, ...server }),
    },
  );
  if (sends) measureUpstreams(upstreams.values(), metrics);
  // A process that sends nothing must not take a part of the shared limits.
  const following = Promise.all(sends ? [...upstreams.values()].map(async (upstream) => await upstream.follow(signal)) : []);
  shutdown.closes('limits of servers', async () => void (await following));
  shutdown.closes(
    'upstreams',
    async () => void (await Promise.all([...upstreams.values()].map(async (upstream) => await upstream.close()))),
  );

  const { host, workerPort: port } = config.telemetry;
  const temporalMetrics = port === null ? null : await freeLoopbackAddress();
  installTemporalRuntime(logger, temporalMetrics);
  let isWorking = false;
  const ready = async () => {
    const working = isWorking && !signal.aborted;
    const found = await reachable({ runs, store });
    return { ready: working && found.temporal && found.bucket, working, ...found };
  };
  await serveOperatorPort({ host, port, metrics, temporalMetrics, ready }, shutdown, logger);
  await prepareStore({ at: config.store, store, newNonce: () => randomHex(24) }, { logger, signal });
  await serveOperators({ roles, workerId, upstreams: [...upstreams.values()], store, nowMs }, shutdown, logger);
  const { namespace } = config.temporal;
  const connect = async () => {
    const native = await NativeConnection.connect(connectionOptions(temporalAddress(config)));
    shutdown.closes('connection of the workers', async () => await native.close());
    return native;
  };
  const native = await retryUntilUp('Temporal', connect, { logger, signal });
  const provisioning = { connection, namespace, sweepIntervalMs: config.housekeeping.sweepIntervalMs, retentionDays: RETENTION_DAYS };
  const warning = await retryUntilUp('the namespace', async () => await provision(provisioning), { logger, signal });
  if (warning !== null) logger.warn(warning);
  const queues = { client, upstreams: [...upstreams.keys()] };
  await retryUntilUp('the queues of the upstreams', async () => await ensureQueues(queues), { logger, signal });

  const modelLists = createModelLists({
    upstreams: config.upstreams,
    ask: async (name, baseUrl, patienceMs) => await askModels(baseUrl, config.secrets.upstreams[name], patienceMs),
    monotonicMs,
  });
  const models = createModelStore({ store, nowMs });
  const workerCounts = createWorkerCounts({ connection, namespace, upstreams: [...upstreams.keys()], nowMs });
  const answersPerSecond = (name: string) => {
    const [limit, meanMs] = [upstreams.get(name)?.limit ?? 0, paces.meanMs(name)];
    return meanMs === null ? null : (1000 * limit * workerCounts.of(name)) / meanMs;
  };
  const parts = createPartPool(UPLOAD_PARTS);
  const newNonce = () => randomHex(24);
  const throttleMs = heartbeatThrottleMs(config.batches.heartbeatTimeoutMs);
  const activities = createActivities({
    files: createFileStore({ store, nowMs, newNonce, parts }),
    batches: watchBatchStore(createBatchStore({ store }), { metrics, nowMs, logger }),
    pieces: watchPieceStore(createPieceStore({ store, newNonce, parts }), metrics),
    housekeeping: createHousekeeping({
      store,
      onFailure(key, err) {
        metrics.sweepLeftObject();
        logger.warn({ err, key }, 'the sweep leaves an object for later');
      },
    }),
    runs,
    copies: createResultCopies({ store, bucketOf: ownBuckets.of }),
    usage: createUsageStore(store),
    webhooks: createWebhookStore({ store }),
    webhookSender: openWebhooks(config, shutdown),
    queuedBatches: createQueuedBatches({ client }),
    upstreams,
    workersOf: workerCounts.of,
    routes: createModelRoutes(config.upstreams),
    modelLists,
    limits: config.batches.limits,
    heartbeatThrottleMs: throttleMs,
    sweepMinAgeMs: config.housekeeping.sweepMinAgeMs,
    cancelGraceMs: config.batches.cancelGraceMs,
    pauseStopsWindow: config.batches.pauseStopsWindow,
    onOpenBatches: metrics.batchesFoundOpen,
    uploadMarkerMaxAgeMs: config.housekeeping.uploadMarkerMaxAgeMs,
    nowMs,
    monotonicMs,
    sleep,
    random: Math.random,
    randomHex,
    draining: signal,
    logger,
  });

  const workers = await createWorkers({
    connection: native,
    namespace,
    roles,
    bundle,
    maxCachedWorkflows: config.worker.maxCachedWorkflows ?? cachedWorkflows(memoryLimit()),
    activities: watchSweep(activities, metrics),
    upstreams: [...upstreams.values()],
    activityInterceptors: tracing.isOn ? [traceActivities(tracing)] : [],
    sinks: traceSinks(telemetry.workflowSpans),
    buildId: config.buildId,
    graceMs: config.shutdownGraceMs,
    heartbeatThrottleMs: throttleMs,
    connect,
    untilAnswered: async (attempt) =>
      // Each attempt in vain leaves a thread behind: none is made while the namespace does not answer.
      await retryUntilUp('the namespace', async () => (await runs.ping(), await attempt()), { logger, signal }),
  });
  const running = workers.map(async (worker) => await runUntilStopped(worker, { shutdown, logger }));
  shutdown.closes('workers', async () => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await Promise.all(running);
  });
  isWorking = true;
  logger.info({ roles, upstreams: config.upstreams.map(({ name }) => name) }, 'working');
  if (roles.includes('workflows')) void warnOfLimits(config, { afterMs: CHECK_LIMITS_AFTER_MS, nonce: newNonce(), signal, logger });
  void lookRegularly(
    async () => {
      await workerCounts.refresh();
      await provision(provisioning);
      await tellModels(config.upstreams, { lists: modelLists, models, answersPerSecond });
      await ensureQueues(queues);
    },
    signal,
    logger,
  );
}
