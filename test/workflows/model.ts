import { Context } from '@temporalio/activity';
import type { Activities } from '../../activities/index.ts';
import { asSaved } from '../../activities/save-batch.ts';
import { type Batch, type BatchRecord, type BatchStatus, isTerminal, type PauseState } from '../../src/domain/batch.ts';
import { raiseCounts, started, transition } from '../../src/domain/lifecycle.ts';
import { lineRanges } from '../../src/domain/line-ranges.ts';
import { isHeld, pauseRecord, resumeRecord, windowEndMs } from '../../src/domain/pause.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import type { ShardRange } from '../../src/domain/plan.ts';
import type { BatchInput, BatchPolicy, RanRequests, RunRequestsInput, SaveBatchInput, SavedBatch } from '../../workflows/contract.ts';
import { until as patiently } from '../helpers/until.ts';

/** What happens to a line in one attempt: an outcome, a fault, an answer whose piece gets lost, or not touched at all. */
export type Fate = 'completed' | 'failed' | 'fault' | 'lost' | 'untouched';

export interface ModelOptions {
  /** Requests per shard. */
  shards: number[];
  windowMs?: number;
  refused?: boolean;
  /** `main` has a worker. */
  upstream?: string;
  /** Number of the upstream of a line, of `upstream` and `other`; all lines are the first one's by default. */
  upstreamOf?: (line: number) => 0 | 1;
  policy?: Partial<BatchPolicy>;
  /** What slices report as the mean time of their requests upstream; 10 by default. */
  meanUpstreamMs?: number;
  /** What they report as the requests that the upstream may have in flight from each worker, 16 by default, and as the workers, 1 by default. */
  places?: number;
  workers?: number;
  /** What validation reports as the requests that the upstream can have in flight; nothing by default. */
  capacity?: number;
  /** Whether the window stands still while the batch is paused; false by default. */
  pauseStopsWindow?: boolean;
  /** Whether slices report that an earlier attempt lost its worker; false by default. */
  workerLost?: boolean;
  /** The fate of a line in its n-th attempt, counted from 1; all completed by default. Awaited, so it may hold the line. */
  fate?: (line: number, attempt: number) => Fate | Promise<Fate>;
  /** Called at the beginning of these activities. */
  before?: Partial<Record<'validateInput' | 'closeShard' | 'appendResults' | 'publishResults', () => Promise<void>>> & {
    saveBatch?: (to: SaveBatchInput['to']) => Promise<void>;
  };
}

/** Everything but the sweeps, which know no single batch. */
export type BatchActivities = Omit<Activities, 'reviveBatches' | 'cleanBucket' | 'deliverWebhook' | 'askToEnter' | 'findEnded'>;

/** A batch in memory that obeys the contract: a record, pieces, shard results. Bucket and upstream in one. */
export interface Model {
  readonly id: string;
  readonly input: BatchInput;
  readonly activities: BatchActivities;
  /** The statuses the record has had, in order. */
  readonly statuses: BatchStatus[];
  record: Batch;
  readonly outcomes: Map<number, 'completed' | 'failed'>;
  readonly closedShards: Map<number, { completed: number; failed: number; unrun: number }>;
  /** Every slice that reached an activity. */
  readonly slices: RunRequestsInput[];
  /** Shards whose pieces were listed before their lines went out. */
  readonly listings: number[];
  /** Activities that published; more than one entry when one was overtaken. */
  readonly published: string[];
  /** The shards that were appended, as first and end of each activity. */
  readonly appends: [first: number, end: number][];
  readonly validations: { count: number };
  /** Set it to lose the plan. */
  isPlanGone: boolean;
  /** Lines being answered right now. */
  readonly inFlight: Set<number>;
  /** What the API does on a pause or resume, without the signal. */
  pause(): void;
  resume(): void;
  /** What the API does on a cancel, without the signal. */
  requestCancel(): void;
}

let made = 0;

export function createModel(options: ModelOptions): Model {
  const id = `batch_${process.pid}_${++made}`;
  const { windowMs = 60_000, refused = false, upstream = 'main', upstreamOf = () => 0, fate = () => 'completed' } = options;
  const { meanUpstreamMs = 10, places = 16, workers = 1 } = options;
  const nowSeconds = (): number => Math.floor(Date.now() / 1000);
  const attempts = new Map<number, number>();
  const ranges: ShardRange[] = [];
  for (const [shard, requests] of options.shards.entries()) {
    const firstLine = (ranges.at(-1)?.lastLine ?? 0) + 1;
    const range = { shard, firstLine, lastLine: firstLine + requests - 1, requests };
    const upstreams = [...new Set(linesOf(range).map(upstreamOf))].sort();
    ranges.push(upstreams.includes(1) ? { ...range, upstreams } : range);
  }
  const total = options.shards.reduce((sum, requests) => sum + requests, 0);
  const expiresAtMs = Date.now() + windowMs;
  let pauseState: PauseState | null = null;
  const model: Model = {
    id,
    input: {
      tenant: 'acme',
      batchId: id,
      endpoint: '/v1/chat/completions',
      inputFileId: 'file-1',
      expiresAtMs,
      urgentFromMs: expiresAtMs - 3_600_000,
      pace: null,
      policy: {
        maxInFlight: 16,
        maxOpenShards: 64,
        shardsPerRun: 500,
        activitiesPerSecond: 100,
        linesPerActivity: null,
        longHistoryEvents: 8_000,
        appendEveryShards: 16,
        cancelGraceMs: 1_000,
        heartbeatTimeoutMs: 30_000,
        shardStopTimeoutMs: 60_000,
        ...options.policy,
      },
    },
    record: newBatch({
      id,
      endpoint: '/v1/chat/completions',
      inputFileId: 'file-1',
      completionWindow: '24h',
      windowMs,
      metadata: null,
      nowSeconds: nowSeconds(),
    }),
    statuses: ['validating'],
    outcomes: new Map(),
    closedShards: new Map(),
    slices: [],
    listings: [],
    published: [],
    appends: [],
    validations: { count: 0 },
    isPlanGone: false,
    inFlight: new Set(),
    requestCancel: () => void move('cancelling'),
    pause: () => change((found) => pauseRecord(found, { nowSeconds: nowSeconds(), stopsWindow: options.pauseStopsWindow ?? false })),
    resume: () => change((found) => resumeRecord(found, nowSeconds())),
    activities: {
      async validateInput({ isPlanned }) {
        model.validations.count += 1;
        await options.before?.validateInput?.();
        if (isPlanned && model.isPlanGone) return { verdict: 'plan_missing' };
        if (refused) return { verdict: 'refused' };
        const closed = [...model.closedShards.entries()];
        return {
          verdict: 'accepted',
          total,
          model: 'gpt-test',
          upstream,
          ...(options.capacity === undefined ? {} : { capacity: options.capacity }),
          ...(ranges.some((range) => range.upstreams !== undefined) ? { otherUpstreams: [{ name: 'other' }] } : {}),
          shards: ranges,
          batchesRunning: 1,
          closed: closed.map(([shard]) => shard),
          completed: closed.reduce((sum, [, { completed }]) => sum + completed, 0),
          failed: closed.reduce((sum, [, { failed }]) => sum + failed, 0),
        };
      },

      async readShard({ shard }) {
        const lines = ranges.filter((range) => range.shard === shard).flatMap(linesOf);
        return [...Map.groupBy(lines, upstreamOf)].map(([number, own]) => ({ upstream: number, lines: lineRanges(own) }));
      },

      async listStored({ shard }) {
        model.listings.push(shard);
        const lines = ranges.filter((range) => range.shard === shard).flatMap(linesOf);
        const having = (outcome: 'completed' | 'failed') => lineRanges(lines.filter((line) => model.outcomes.get(line) === outcome));
        return { completed: having('completed'), failed: having('failed') };
      },

      async runRequests(slice) {
        model.slices.push(slice);
        return await answer(slice);
      },

      async closeShard({ range }) {
        await options.before?.closeShard?.();
        const found = model.closedShards.get(range.shard);
        if (found) return { closed: true, completed: found.completed, failed: found.failed };
        const lines = linesOf(range);
        const missing = lines.filter((line) => !model.outcomes.has(line));
        // By Temporal's clock, which the time-skipping server turns on.
        const endMs = windowEnd() ?? Infinity;
        const ending = model.record.status === 'cancelling' || Context.current().info.currentAttemptScheduledTimestampMs >= endMs;
        if (missing.length > 0 && !ending) return { closed: false, missing: lineRanges(missing) };
        const completed = lines.filter((line) => model.outcomes.get(line) === 'completed').length;
        const failed = lines.filter((line) => model.outcomes.get(line) === 'failed').length;
        model.closedShards.set(range.shard, { completed, failed, unrun: missing.length });
        return { closed: true, completed, failed };
      },

      async appendResults({ closedShards, appended }) {
        await options.before?.appendResults?.();
        for (let shard = 0; shard < closedShards; shard++) {
          if (!model.closedShards.has(shard)) throw new Error(`shard ${shard} is not closed`);
        }
        model.appends.push([appended.shards, closedShards]);
        return { ...appended, shards: closedShards };
      },

      async publishResults({ to }) {
        if (isTerminal(model.record.status)) return saved();
        model.published.push(to);
        await options.before?.publishResults?.();
        if (model.closedShards.size !== ranges.length) throw new Error('published with open shards');
        return move(to);
      },

      async saveBatch({ to, counts, pause }) {
        await options.before?.saveBatch?.(to);
        if (pause !== undefined) (pause ? model.pause : model.resume)();
        if (to === null) return saved();
        if (to === 'finalizing' && isHeld(record(), Date.now())) return saved();
        // Once a batch has started, it ends with files.
        if ((to === 'cancelled' || to === 'expired') && started(model.record)) return saved();
        move(to);
        if (model.record.status === 'in_progress') model.record.request_counts.total = total;
        if (counts !== null) model.record = raiseCounts(model.record, counts);
        return saved();
      },
    },
  };

  async function answer(slice: RunRequestsInput): Promise<RanRequests> {
    const { cancellationSignal } = Context.current();
    const covered: number[] = [];
    const ran: RanRequests = {
      covered: [],
      completed: 0,
      failed: 0,
      again: [],
      answered: 0,
      meanUpstreamMs,
      waitedMs: 10,
      batchesRunning: 1,
      places,
      limit: places,
      workers,
      ...(options.workerLost === true ? { workerLost: true } : {}),
    };
    const heartbeats = setInterval(() => Context.current().heartbeat({ completed: ran.completed, failed: ran.failed }), 100);
    const cancelled = new Promise<'untouched'>((resolve) => cancellationSignal.addEventListener('abort', () => resolve('untouched')));
    try {
      for (let line = slice.firstLine; line <= slice.lastLine; line++) {
        if (cancellationSignal.aborted) break;
        if (slice.mixed !== undefined && slice.mixed.upstream !== upstreamOf(line)) {
          // As lines between the slice's own, like blank ones.
          covered.push(line);
          continue;
        }
        const attempt = (attempts.get(line) ?? 0) + 1;
        attempts.set(line, attempt);
        model.inFlight.add(line);
        const happened = (slice.resumed && model.outcomes.get(line)) || (await Promise.race([fate(line, attempt), cancelled]));
        model.inFlight.delete(line);
        if (happened === 'untouched') continue;
        if (happened === 'fault') {
          ran.again.push({ line, faults: slice.faults + 1 });
          continue;
        }
        covered.push(line);
        ran.answered += 1;
        if (happened === 'lost') continue;
        model.outcomes.set(line, happened);
        ran[happened] += 1;
      }
      return { ...ran, covered: lineRanges(covered) };
    } finally {
      clearInterval(heartbeats);
    }
  }

  function move(to: BatchStatus): SavedBatch {
    const next = transition(model.record, to, nowSeconds());
    if (next !== null) {
      model.record = next;
      model.statuses.push(to);
    }
    return saved();
  }

  function record(): BatchRecord {
    return {
      batch: model.record,
      tenant: 'acme',
      output_expires_after_seconds: null,
      ...(pauseState === null ? {} : { pause: pauseState }),
    };
  }

  /** To the millisecond, as long as no pause has moved it. */
  function windowEnd(): number | null {
    return pauseState === null ? expiresAtMs : windowEndMs(record());
  }

  function change(by: (found: BatchRecord) => BatchRecord | null): void {
    const next = by(record());
    if (next === null) return;
    model.record = next.batch;
    pauseState = next.pause ?? null;
  }

  function saved(): SavedBatch {
    const found = asSaved(record());
    return { ...found, pause: { ...found.pause, windowEndMs: windowEnd() } };
  }

  return model;
}

function linesOf({ firstLine, requests }: ShardRange): number[] {
  return Array.from({ length: requests }, (_, index) => firstLine + index);
}

/** A gate that holds whoever waits for it until it is opened. */
export function gate(): { wait: () => Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { wait: () => promise, open: resolve };
}

/** Waits until the condition holds; fails after a minute, saying what it waited for. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await patiently(holds, { what, everyMs: 20, upToMs: 200 });
}
