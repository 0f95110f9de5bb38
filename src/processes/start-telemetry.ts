import { createServer } from 'node:net';
import { once } from 'node:events';
import { settledWithin } from '../async/settled-within.ts';
import type { Shutdown } from './shutdown.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { BatchRuns } from '../temporal/batch-runs.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import type { WorkflowSpans } from '../telemetry/open-telemetry.ts';
import { serveOperators } from '../telemetry/operator-server.ts';
import { createTracing, noTracing, type Tracing } from '../telemetry/tracing.ts';
import { TEMPORAL_OPERATIONS } from '../telemetry/watch-batch-runs.ts';
import { BUCKET_OPERATIONS } from '../telemetry/watch-object-store.ts';

/** What a process measures itself with. */
export interface Telemetry {
  metrics: Metrics;
  tracing: Tracing;
  /** Null without tracing. */
  workflowSpans: WorkflowSpans | null;
}

/** What the last spans get to leave the process; a collector that is away holds up no shutdown. */
const LAST_SPANS_MS = 2_000;
/** Whoever has not answered by then counts as away. */
const PATIENCE_MS = 3_000;

/** Makes the metrics, and begins tracing where it is configured: only then its SDK is loaded. */
export async function startTelemetry({ telemetry }: Config, processName: string, shutdown: Shutdown, logger: Logger): Promise<Telemetry> {
  const operations = { bucket: BUCKET_OPERATIONS, temporal: TEMPORAL_OPERATIONS };
  const metrics = createMetrics({ nowMs: Date.now, withProcess: true, operations });
  if (telemetry.tracing === null) return { metrics, tracing: noTracing, workflowSpans: null };

  const { startOpenTelemetry, exportingProcessor } = await import('../telemetry/open-telemetry.ts');
  const started = startOpenTelemetry({ processName, processor: await exportingProcessor(), sampling: telemetry.tracing, logger });
  shutdown.closes('traces', async () => void (await settledWithin(started.close(), LAST_SPANS_MS)));
  return { metrics, tracing: createTracing(), workflowSpans: started.workflowSpans };
}

/** Lets operators in, where a port is configured. `temporalMetrics` is where Temporal's SDK serves its own; null where it does not. */
export async function serveOperatorPort(
  {
    host,
    port,
    metrics,
    temporalMetrics,
    ready,
  }: {
    host: string;
    port: number | null;
    metrics: Metrics;
    temporalMetrics: string | null;
    ready: () => Promise<{ ready: boolean } & Readonly<Record<string, boolean>>>;
  },
  shutdown: Shutdown,
  logger: Logger,
): Promise<void> {
  if (port === null) return;
  const more = async () => (temporalMetrics === null ? '' : await (await fetch(`http://${temporalMetrics}/metrics`)).text());
  const close = await serveOperators({ metrics, more, ready }, host, port).catch((cause: unknown) => {
    throw new Error(`the port of the operators, ${host}:${port}, cannot be listened on`, { cause });
  });
  shutdown.closes('port of the operators', close);
  logger.info({ host, port }, 'metrics are served');
}

/** Whether bucket and Temporal answer in time. */
export async function reachable({
  runs,
  store,
}: {
  runs: Pick<BatchRuns, 'ping'>;
  store: Pick<ObjectStore, 'ping'>;
}): Promise<{ temporal: boolean; bucket: boolean }> {
  const [temporal, bucket] = await Promise.all([answers(runs.ping()), answers(store.ping())]);
  return { temporal, bucket };
}

async function answers(ping: Promise<void>): Promise<boolean> {
  return await settledWithin(ping, PATIENCE_MS).catch(() => false);
}

/** An address on this machine where nobody listens at the moment, for the metrics that Temporal's SDK serves to us. */
export async function freeLoopbackAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('the system gave no port');
  return `127.0.0.1:${address.port}`;
}
