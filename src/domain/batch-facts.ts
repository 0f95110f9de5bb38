import { type Batch, type BatchAdditions, isTerminal } from './batch.ts';
import { type FailureGroup, sumFailures } from './failures.ts';
import { containsLine, type LineRange } from './line-ranges.ts';
import { pausedAt } from './pause.ts';
import { failuresOf, type Tallies } from './shard-tally.ts';
import { sumWaits, toWaiting, type WaitFact, type Waiting } from './waiting.ts';

/** What one worker last told of a batch. */
export interface WorkerReport {
  worker: string;
  /** Unix milliseconds. */
  atMs: number;
  inFlight: number;
  /** Lines that ended per second, over the last half minute. */
  linesPerSecond: number;
  waiting: (WaitFact & { lines: number; /** When the wait ends by itself. */ untilMs?: number })[];
}

/** What is known of a batch that runs. */
export interface BatchFacts {
  /** The queues in which the batch waits to be admitted. */
  queues: readonly { upstream: string; place: number | null; of: number | null }[];
  failures: readonly FailureGroup[];
  reports: readonly WorkerReport[];
}

/** A worker reports at least every 10 s while it has lines of the batch. */
const REPORT_COUNTS_MS = 30_000;

/** The additions to a batch that has not ended. `facts` is null where nothing is known. */
export function describeFacts(batch: Batch, facts: BatchFacts | null, nowMs: number): BatchAdditions {
  const reports = (facts?.reports ?? []).filter(({ atMs }) => nowMs - atMs < REPORT_COUNTS_MS);
  const rate = reports.reduce((sum, { linesPerSecond }) => sum + linesPerSecond, 0);
  const inFlight = reports.reduce((sum, report) => sum + report.inFlight, 0);
  const waiting = waitingOf(batch, facts, { reports, inFlight, nowMs });
  return {
    lines_per_second: rate === 0 ? null : toTwoDigits(rate),
    eta_at: etaOf(batch, rate, reports),
    in_flight: inFlight,
    waiting,
    failures: [...(facts?.failures ?? [])],
  };
}

/** By the clock of a worker, so that all readers of the same facts get the same time. */
function etaOf(
  { status, request_counts: { total, completed, failed } }: Batch,
  rate: number,
  reports: readonly WorkerReport[],
): number | null {
  const left = total - completed - failed;
  if (rate === 0 || left <= 0 || status !== 'in_progress') return null;
  const atMs = Math.max(...reports.map((report) => report.atMs));
  return Math.ceil(atMs / 1000 + left / rate);
}

function waitingOf(
  batch: Batch,
  facts: BatchFacts | null,
  { reports, inFlight, nowMs }: { reports: readonly WorkerReport[]; inFlight: number; nowMs: number },
): Waiting[] {
  const { total, completed, failed } = batch.request_counts;
  const left = total - completed - failed;
  const paused = pausedAt(batch);
  if (paused !== null && !isTerminal(batch.status)) {
    const fact: WaitFact = { reason: 'paused', upstream: null, serverSays: null, sinceMs: paused * 1000, pausedBy: 'batch' };
    return [toWaiting(fact, total === 0 ? null : left)];
  }
  if (batch.status !== 'in_progress' || left === 0 || facts === null) return [];
  if (facts.queues.length > 0) {
    return facts.queues.map(({ upstream, place, of }) => {
      const position = place === null || of === null ? null : { position: place, of };
      const since = batch.in_progress_at === null ? null : batch.in_progress_at * 1000;
      return toWaiting({ reason: 'places', upstream, serverSays: null, sinceMs: since, position }, left);
    });
  }
  if (reports.length === 0) {
    // Unknown is not the same as none: the first worker needs a moment.
    const sinceMs = Math.max((batch.in_progress_at ?? 0) * 1000, ...facts.reports.map(({ atMs }) => atMs));
    if (nowMs - sinceMs < REPORT_COUNTS_MS) return [];
    return [toWaiting({ reason: 'no_worker', upstream: null, serverSays: null, sinceMs }, left)];
  }
  const waits = reports
    .flatMap((report) => report.waiting)
    .filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs)
    // A batch that has requests in flight waits for its own answers.
    .filter(({ reason }) => reason !== 'places' || inFlight === 0);
  return sumWaits(waits)
    .sort((x, y) => y.lines - x.lines)
    .map(({ lines, ...fact }) => toWaiting(fact, lines));
}

/** Failures of closed shards, and of the `unclosed` ones as workers tell them. */
export function failuresSoFar({
  tallies,
  closed,
  unclosed,
}: {
  tallies: Tallies;
  closed: { shards: readonly LineRange[]; failures: readonly FailureGroup[] };
  unclosed: readonly LineRange[];
}): FailureGroup[] {
  const open = [...tallies]
    .sort(([a], [b]) => a - b)
    .flatMap(([shard, tally]) => {
      const isSummed = containsLine(closed.shards, shard) || !containsLine(unclosed, shard);
      return isSummed ? [] : [failuresOf(tally)];
    });
  return sumFailures([closed.failures, ...open]);
}

function toTwoDigits(rate: number): number {
  return Number(rate.toPrecision(2));
}
