import type { BatchRuns } from '../temporal/batch-runs.ts';
import type { Metrics } from './metrics.ts';
import type { Tracing } from './tracing.ts';

/** The calls to Temporal whose errors are counted. `progress` is not among them: it answers null instead of failing. */
export const TEMPORAL_OPERATIONS = ['start', 'restart', 'cancel', 'tell', 'running', 'describe', 'ping'] as const;
type Operation = (typeof TEMPORAL_OPERATIONS)[number];

/** The same door to Temporal, with its errors counted and the start of a batch in the trace of whoever wanted it. */
export function watchBatchRuns(
  runs: BatchRuns,
  { metrics, tracing }: { metrics: Pick<Metrics, 'temporalFailed'>; tracing: Tracing },
): BatchRuns {
  async function counted<T>(operation: Operation, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      metrics.temporalFailed(operation);
      throw error;
    }
  }

  return {
    ...runs,
    start: (record) =>
      counted('start', () =>
        tracing.span({ name: 'start batch', attributes: { 'nightshift.batch.id': record.batch.id } }, () => runs.start(record)),
      ),
    restart: (record, run) => counted('restart', () => runs.restart(record, run)),
    describe: (batchId) => counted('describe', () => runs.describe(batchId)),
    cancel: (batchId) => counted('cancel', () => runs.cancel(batchId)),
    tellChanged: (batchId) => counted('tell', () => runs.tellChanged(batchId)),
    running: () => counted('running', () => runs.running()),
    ping: () => counted('ping', () => runs.ping()),
  };
}
