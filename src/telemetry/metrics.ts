import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { OpenBatches, OpenStatus } from '../../activities/deps.ts';
import { BATCH_STATUSES, type BatchStatus, isTerminal, TERMINAL_STATUSES, type TerminalStatus } from '../domain/batch.ts';

/**
 * What a process counts and measures, as plain functions; the rest of the house sees this type only. No name of a tenant, batch, file or
 * model is ever a label: their number has no bound. Times are seconds. `docs/operations.md` lists the metrics.
 */
export interface Metrics {
  /** An HTTP request has its answer; `route` is the pattern of the path and never the path. */
  httpAnswered(seen: { method: string; route: string; status: number; seconds: number }): void;
  /** A batch record was written with a new status. */
  batchMoved(status: BatchStatus): void;
  /** A batch has ended, so long after it was created. */
  batchEnded(status: TerminalStatus, seconds: number): void;
  /** What the sweep found open. */
  batchesFoundOpen(found: OpenBatches): void;
  /** A sweep left an object to a later one, because the bucket did not do what it was asked to. */
  sweepLeftObject(): void;
  /** A sweep has ended, and did so much. */
  swept(sweep: Sweep, result: 'ok' | 'failed', actions: Readonly<Partial<Record<SweepAction, number>>>): void;
  /** Lines got their outcome: in a piece, or because their batch ended without them. */
  linesEnded(outcome: LineOutcome, lines: number): void;
  pieceStored(): void;
  /** A request was tried upstream. `seconds` is from send to last byte, null where nothing was sent or no answer came. */
  attemptEnded(seen: {
    upstream: string;
    result: AttemptResult;
    seconds: number | null;
    tokens: { input: number; output: number } | null;
  }): void;
  /** A request waited before it went out. */
  waited(upstream: string, reason: WaitReason, seconds: number): void;
  gateClosed(upstream: string, reason: GateReason): void;
  /** Reads an upstream whenever the metrics are read. */
  reads(upstream: string, read: () => UpstreamReading): void;
  bucketCalled(operation: string, seconds: number, isFailed: boolean): void;
  temporalFailed(operation: string): void;
  /** Everything in the text format of Prometheus. */
  text(): Promise<string>;
  /** Of `text`. */
  readonly contentType: string;
}

const OPEN_STATUSES: readonly OpenStatus[] = ['new', 'unread', ...BATCH_STATUSES.filter((status) => !isTerminal(status))];
export const SWEEPS = ['revive', 'clean'] as const;
export type Sweep = (typeof SWEEPS)[number];
const SWEEP_ACTIONS = ['started', 'restarted', 'signalled', 'removed'] as const;
type SweepAction = (typeof SWEEP_ACTIONS)[number];
export const LINE_OUTCOMES = ['completed', 'failed', 'not_run'] as const;
export type LineOutcome = (typeof LINE_OUTCOMES)[number];
export const ATTEMPT_RESULTS = [
  'answered',
  'rejected',
  'refused',
  'request_timeout',
  'connection_error',
  'invalid_response',
  'server_error',
  'denied',
  'unavailable',
  'aborted',
] as const;
export type AttemptResult = (typeof ATTEMPT_RESULTS)[number];
/** What a request waits for: a place in flight, a rate limit, a closed gate, the hours of its upstream, or an operator's pause. */
export const WAIT_REASONS = ['place', 'budget', 'gate', 'hours', 'paused'] as const;
export type WaitReason = (typeof WAIT_REASONS)[number];

export interface UpstreamReading {
  inFlight: number;
  limit: number;
  waiting: number;
  /** Classes of the gates that are closed, of a server or of one model on it. */
  closed: ReadonlySet<GateReason>;
}

export const GATE_REASONS = ['away', 'refused', 'failed', 'denied'] as const;
export type GateReason = (typeof GATE_REASONS)[number];

/** What the sweep found grows old when another worker sweeps: after so long it is not shown any more. */
const FOUND_OPEN_SECONDS = 300;

/** The metrics of one process; `operations` are the names of calls to bucket and Temporal, so that their errors begin at zero. */
export function createMetrics({
  nowMs,
  withProcess,
  operations,
}: {
  /** Unix time. */
  nowMs: () => number;
  /** Whether memory, CPU and event loop of the process are measured too. */
  withProcess: boolean;
  operations: { bucket: readonly string[]; temporal: readonly string[] };
}): Metrics {
  const register = new Registry();
  if (withProcess) collectDefaultMetrics({ register });
  const registers = [register];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name: `nightshift_${name}`, help, labelNames: [...labelNames], registers });
  const histogram = <T extends string>(name: string, help: string, labelNames: readonly T[], buckets: readonly number[]) =>
    new Histogram<T>({ name: `nightshift_${name}`, help, labelNames: [...labelNames], buckets: [...buckets], registers });

  const http = histogram(
    'http_request_duration_seconds',
    'Time from the first byte of a request to the last of its answer',
    ['method', 'route', 'status'],
    [0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 600],
  );
  const transitions = counter('batch_transitions_total', 'Batch records written with a new status', ['status']);
  const durations = histogram(
    'batch_duration_seconds',
    'Time from the creation of a batch to its end',
    ['status'],
    [1, 10, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 172_800],
  );
  const sweeps = counter('sweep_runs_total', 'Sweeps by how they ended', ['sweep', 'result']);
  const sweepActions = counter(
    'sweep_actions_total',
    'What sweeps did: batches started, batches started anew, cancels repeated, things removed, things left to a later sweep',
    ['action'],
  );
  const lastSweep = new Gauge({
    name: 'nightshift_sweep_last_success_timestamp_seconds',
    help: 'When a sweep last succeeded in this worker, as Unix time; 0 for never',
    labelNames: ['sweep'],
    registers,
  });
  const lines = counter('lines_total', 'Lines that got an outcome', ['outcome']);
  const pieces = counter('pieces_stored_total', 'Pieces written to the bucket', []);
  const attempts = counter('upstream_attempts_total', 'Tries of requests upstream by what they ended in', ['upstream', 'result']);
  const attemptSeconds = histogram(
    'upstream_attempt_duration_seconds',
    'Time from sending to the last byte of an answer',
    ['upstream'],
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
  );
  const tokens = counter('upstream_tokens_total', 'Tokens that successful answers report', ['upstream', 'direction']);
  const waits = histogram(
    'upstream_wait_seconds',
    'Time a request waited before it went out, by what it waited for',
    ['upstream', 'reason'],
    [0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600],
  );
  const closings = counter('upstream_gate_closings_total', 'Times that requests began to wait for a server or for one model on it', [
    'upstream',
    'reason',
  ]);
  const bucketSeconds = histogram(
    'object_store_request_duration_seconds',
    'Time of calls to the bucket; of a stream, until it is open',
    ['operation'],
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30],
  );
  const bucketErrors = counter('object_store_errors_total', 'Calls to the bucket that failed after their own retries', ['operation']);
  const temporalErrors = counter('temporal_errors_total', 'Calls to Temporal about batches that failed', ['operation']);

  const readings = new Map<string, () => UpstreamReading>();
  const reading = (name: string, help: string, value: (seen: UpstreamReading) => number) =>
    new Gauge({
      name: `nightshift_upstream_${name}`,
      help,
      labelNames: ['upstream'],
      registers,
      collect() {
        for (const [upstream, read] of readings) this.set({ upstream }, value(read()));
      },
    });
  reading('in_flight', 'Requests on their way', ({ inFlight }) => inFlight);
  reading('in_flight_limit', 'Requests that may be on their way at a time', ({ limit }) => limit);
  reading('waiting', 'Requests that wait for a place in flight', ({ waiting }) => waiting);
  new Gauge({
    name: 'nightshift_upstream_gate_closed',
    help: '1 while requests wait for a server, or for one model on it, because it is away, refuses, fails or denies access',
    labelNames: ['upstream', 'reason'],
    registers,
    collect() {
      for (const [upstream, read] of readings) {
        const { closed } = read();
        for (const reason of GATE_REASONS) this.set({ upstream, reason }, Number(closed.has(reason)));
      }
    },
  });

  let found: (OpenBatches & { atMs: number }) | null = null;
  const foundOpen = () => (found !== null && nowMs() - found.atMs <= FOUND_OPEN_SECONDS * 1000 ? found : null);
  new Gauge({
    name: 'nightshift_open_batches',
    help: 'Batches that have not ended, as the last sweep found them; only the worker that swept shows it',
    labelNames: ['status'],
    registers,
    collect() {
      this.reset();
      const seen = foundOpen();
      // Zeros too, so that a dashboard shows none open, and not that nothing is known.
      if (seen !== null) for (const status of OPEN_STATUSES) this.set({ status }, seen.byStatus.get(status) ?? 0);
    },
  });
  new Gauge({
    name: 'nightshift_oldest_open_batch_age_seconds',
    help: 'Age of the oldest batch that has not ended, as the last sweep found it; only the worker that swept shows it',
    labelNames: [],
    registers,
    collect() {
      const seen = foundOpen();
      if (seen === null) this.remove();
      else this.set(seen.oldestAgeSeconds);
    },
  });

  // Counters that begin at zero, so that the first error is an increase and not the birth of a series.
  for (const status of BATCH_STATUSES) transitions.inc({ status }, 0);
  for (const status of TERMINAL_STATUSES) durations.zero({ status });
  for (const outcome of LINE_OUTCOMES) lines.inc({ outcome }, 0);
  for (const sweep of SWEEPS) {
    lastSweep.set({ sweep }, 0);
    for (const result of ['ok', 'failed']) sweeps.inc({ sweep, result }, 0);
  }
  for (const action of [...SWEEP_ACTIONS, 'left']) sweepActions.inc({ action }, 0);
  for (const operation of operations.bucket) bucketErrors.inc({ operation }, 0);
  for (const operation of operations.temporal) temporalErrors.inc({ operation }, 0);

  return {
    httpAnswered: ({ method, route, status, seconds }) => http.observe({ method, route, status }, seconds),
    batchMoved: (status) => transitions.inc({ status }),
    batchEnded: (status, seconds) => durations.observe({ status }, seconds),
    batchesFoundOpen: (seen) => void (found = { atMs: nowMs(), ...seen }),
    sweepLeftObject: () => sweepActions.inc({ action: 'left' }),
    swept(sweep, result, actions) {
      sweeps.inc({ sweep, result });
      if (result === 'ok') lastSweep.set({ sweep }, nowMs() / 1000);
      for (const action of SWEEP_ACTIONS) sweepActions.inc({ action }, actions[action] ?? 0);
    },
    linesEnded: (outcome, count) => lines.inc({ outcome }, count),
    pieceStored: () => pieces.inc(),
    attemptEnded(seen) {
      const { upstream, result, seconds } = seen;
      attempts.inc({ upstream, result });
      if (seconds !== null) attemptSeconds.observe({ upstream }, seconds);
      if (seen.tokens === null) return;
      tokens.inc({ upstream, direction: 'input' }, seen.tokens.input);
      tokens.inc({ upstream, direction: 'output' }, seen.tokens.output);
    },
    waited: (upstream, reason, seconds) => waits.observe({ upstream, reason }, seconds),
    gateClosed: (upstream, reason) => closings.inc({ upstream, reason }),
    reads(upstream, read) {
      readings.set(upstream, read);
      for (const result of ATTEMPT_RESULTS) attempts.inc({ upstream, result }, 0);
      for (const reason of WAIT_REASONS) waits.zero({ upstream, reason });
      for (const reason of GATE_REASONS) closings.inc({ upstream, reason }, 0);
    },
    bucketCalled(operation, seconds, isFailed) {
      bucketSeconds.observe({ operation }, seconds);
      if (isFailed) bucketErrors.inc({ operation });
    },
    temporalFailed: (operation) => temporalErrors.inc({ operation }),
    text: async () => await register.metrics(),
    contentType: register.contentType,
  };
}
