import { ApplicationFailure, Context } from '@temporalio/activity';
import { standingOf } from '../../src/domain/pause.ts';
import type { PlannedLine } from '../../src/domain/plan.ts';
import { DEFAULT_PRIORITY } from '../../src/domain/priority.ts';
import type { Tries } from '../../src/domain/retry.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import type { RanRequests, RunRequestsInput } from '../../workflows/contract.ts';
import type { BatchesRunning, RunningBatch } from '../batches-running.ts';
import type { ActivityDeps } from '../deps.ts';
import type { HeavyWork } from '../heavy-work.ts';
import { createMemoryBudget, type MemoryBudget } from '../memory-budget.ts';
import type { CountedShard, RecordCounts } from '../record-counts.ts';
import { type AttemptHistory, type AttemptRecord, readHistory } from './attempt-history.ts';
import { toFailure, toPostponed } from './failures.ts';
import { handedBack, toAgain } from './hand-back.ts';
import { type SliceHeartbeat, startSliceHeartbeat } from './slice-heartbeat.ts';
import { crashedLineResult } from './line-results.ts';
import { createPauseDetector, type PauseDetector } from './pause-detector.ts';
import { type BatchStandings, createBatchStandings } from './batch-standings.ts';
import type { PieceWriter } from './piece-writer.ts';
import { createPieceWriters, type PieceWriters } from './piece-writers.ts';
import { countOutcomes, toReport } from './report.ts';
import { isStop, runSlice, type SliceTally } from './run-slice.ts';
import { createShardInputs, type ShardInputs } from './shard-input.ts';
import type { PieceReader } from './shard-pieces.ts';
import { createSliceStatus, type SliceStatus } from './slice-status.ts';
import { type SliceStop, watchForStop } from './stop.ts';
import { createStoredCounter } from './stored-counter.ts';
import { createSuspects } from './suspects.ts';

const MEMORY_BYTES = 256 * 1024 * 1024;
/** Losses of the worker after which a slice of many is split, and a slice of one handled as the likely cause. */
const SUSPICIOUS_LOSSES = 2;
/** The loss of the worker, with the request on the wire, that ends a request. */
const MAX_LOSSES_ON_WIRE = 5;
const NOTHING: SliceTally = { stored: new Map(), retried: new Map(), postponed: new Map(), answered: 0 };

/** One attempt of the activity. */
interface Run {
  readonly input: RunRequestsInput;
  readonly history: AttemptHistory;
  readonly waitedMs: number;
  readonly running: RunningBatch;
  readonly stop: SliceStop;
  readonly heartbeat: SliceHeartbeat;
  readonly writer: PieceWriter;
  /** Null until the lines are known. */
  status: SliceStatus | null;
  /** What the next attempt learns of the request of a slice of one. */
  tries: Tries;
  server: number | null;
}

/**
 * Sends the requests of a slice and stores what came of them. A second run lists the pieces first and sends what none of them
 * has; what two runs both sent is decided when the shard is closed. Results in pieces are facts, whatever becomes of this run.
 */
export function createRunRequests(deps: RunRequestsDeps): (input: RunRequestsInput) => Promise<RanRequests> {
  const runner = new SliceRunner(deps);
  return async (input) => await runner.run(input);
}

type RunRequestsDeps = ActivityDeps & {
  heavyWork: HeavyWork;
  batchesRunning: BatchesRunning;
  readPieces: PieceReader;
  recordCounts: RecordCounts;
};

/** What all slices of a process share. */
class SliceRunner {
  readonly #deps: RunRequestsDeps;
  readonly #inputs: ShardInputs;
  readonly #writers: PieceWriters;
  readonly #pauses: PauseDetector;
  readonly #standings: BatchStandings;
  readonly #suspects = createSuspects();
  /** One per upstream: bodies that wait for one that is away must not keep those of another out. */
  readonly #budgets = new Map<string, MemoryBudget>();

  constructor(deps: RunRequestsDeps) {
    const { upstreams, memoryBytes = MEMORY_BYTES } = deps;
    this.#deps = deps;
    this.#inputs = createShardInputs(deps);
    this.#writers = createPieceWriters(deps);
    this.#pauses = createPauseDetector(deps);
    this.#standings = createBatchStandings(deps);
    for (const name of upstreams.keys()) this.#budgets.set(name, createMemoryBudget(memoryBytes / upstreams.size));
  }

  async run(input: RunRequestsInput): Promise<RanRequests> {
    const { batchesRunning, nowMs, monotonicMs, draining, heartbeatThrottleMs } = this.#deps;
    const context = Context.current();
    const { attempt, currentAttemptScheduledTimestampMs, heartbeatDetails } = context.info;
    const { batchId, expiresAtMs, cancelGraceMs, faults, timeouts = 0, refusals = 0, server = null } = input;
    const startedMs = monotonicMs();
    // Temporal's clock, which also ends the window, less the wait for a worker: our own may be wrong and end it too early.
    const temporalMs = () => currentAttemptScheduledTimestampMs + monotonicMs() - startedMs;
    const history = readHistory(heartbeatDetails, { attempt, tries: { faults, timeouts, refusals }, server });
    let hasEnded = false;
    let run: Run | null = null;
    const details = () => ({
      ...(run?.status?.describe() ?? { waiting: 'for its lines' }),
      ...recordOf(attempt, run ?? { history, tries: history.tries, server: history.server, status: null, writer: null }, {
        hasEnded,
        isHeavy: this.#deps.heavyWork.isRunning,
      }),
    });

    using running = batchesRunning.enter(batchId);
    const standing = async () => await this.#standings(input);
    using stop = watchForStop({ context, draining, pauses: this.#pauses, nowMs: temporalMs, expiresAtMs, cancelGraceMs, standing });
    using heartbeat = startSliceHeartbeat(context, heartbeatThrottleMs, details);
    using writer = this.#writers.open(input, { lines: linesIn(input), giveUp: stop.giveUp });
    const waitedMs = Math.max(0, nowMs() - currentAttemptScheduledTimestampMs);
    const { tries } = history;
    run = { input, history, waitedMs, running, stop, heartbeat, writer, status: null, tries, server: history.server };
    try {
      return await this.#runAttempt(run);
    } catch (error) {
      // Beaten before the attempt ends, so that the next one knows that no worker was lost, and how many tries there were.
      hasEnded = true;
      heartbeat.beat();
      throw error;
    }
  }

  async #runAttempt(run: Run): Promise<RanRequests> {
    const { input, history, stop, heartbeat, writer } = run;
    const { upstream, memory } = this.#upstreamOf(input);
    if (Context.current().info.attempt > 1) await this.#stopIfEnded(input, stop);
    const isSuspicious = history.losses >= SUSPICIOUS_LOSSES;
    // Suspects wait for each other, and must not keep other lines out of this process meanwhile.
    using taken = upstream.intake.take(isSuspicious ? 0 : linesIn(input));
    const lines = await this.#inputs.lines(input);
    using counted = this.#deps.recordCounts.enter(input, input.shard);
    counted.resume([input.firstLine, input.lastLine]);
    const isContested = input.contested || history.mayHavePieces;
    const customIdOf = (wanted: number) => lines.find(({ line }) => line === wanted)?.customId ?? '';
    const counter = createStoredCounter({ counted, isContested, confirm: heartbeat.confirm, customIdOf });
    const found = input.resumed || history.mayHavePieces ? await this.#storedOutcomes(input, lines, counted) : new Map<number, never>();
    const rest = lines.filter(({ line }) => !found.has(line));
    const only = lines.length === 1 ? rest[0] : undefined;
    const status = createSliceStatus({
      lines: lines.map(({ line }) => line),
      found: countOutcomes(found),
      tries: history.tries,
      isContested,
    });
    run.status = status;
    counted.watch(status.facts);
    const report = (tally: SliceTally, again: RanRequests['again']) => this.#toRanRequests(run, { lines, found, tally, again, upstream });

    if (lines.length > 1 && isSuspicious) {
      return report(
        NOTHING,
        rest.map(({ line }) => ({ line, faults: input.faults })),
      );
    }
    if (only !== undefined && history.lossesOnWire >= MAX_LOSSES_ON_WIRE)
      return report(await this.#endCrashed(only, history.losses, writer), []);
    using content = this.#inputs.open(input, rest);
    const read = async (line: PlannedLine) => await content.read(line);
    const pauses = this.#pauses;
    const isSuspect = only !== undefined && isSuspicious;
    using _turn = isSuspect
      ? await unlessStopped(this.#suspects.turn(input.upstream, history.lossesOnWire, stop.stopSending), stop.stopSending)
      : null;
    const tally = await runSlice(rest, {
      ...this.#deps,
      input,
      upstream,
      read,
      memory,
      writer,
      stop,
      status,
      counter,
      taken,
      answerTime: run.running.answerTime,
      priority: Context.current().info.priority?.priorityKey ?? DEFAULT_PRIORITY,
      tries: history.tries,
      lastServer: history.server,
      isPaced: only !== undefined && upstream.requestsPerMinute !== null,
      suspicion: isSuspect ? this.#suspicionOf(run) : null,
      bucketKeepsUp() {
        pauses.check();
        stop.stopSending.throwIfAborted();
        return !writer.isLate;
      },
    });
    for (const [line, { fact, waitMs }] of [...tally.retried, ...tally.postponed]) counted.backOff(line, waitMs, fact);
    return only === undefined ? report(tally, toAgain(tally, upstream)) : this.#endOfOne(run, only, tally, report);
  }

  /** A slice of one is tried again by Temporal, so that each try shows in its UI. */
  #endOfOne(
    run: Run,
    { line }: PlannedLine,
    tally: SliceTally,
    report: (tally: SliceTally, again: RanRequests['again']) => RanRequests,
  ): RanRequests {
    const { input, stop } = run;
    const retried = tally.retried.get(line);
    const postponed = tally.postponed.get(line);
    run.tries = retried?.tries ?? postponed?.tries ?? run.tries;
    run.server = retried?.server ?? run.server;
    if (!stop.stopSending.aborted) {
      if (retried !== undefined) throw toFailure(retried, input.upstream);
      if (postponed !== undefined) throw toPostponed(postponed, input.upstream);
    }
    // Failures that this activity has learnt of live on in the next one only if they are handed back.
    const { faults, refusals = 0 } = input;
    const isOwing = !tally.stored.has(line) && (run.tries.faults > faults || run.tries.refusals > refusals);
    return report(tally, isOwing ? [handedBack(line, run)] : []);
  }

  /** Temporal starts another attempt before the workflow has heard of a cancel or a pause: the record knows already. */
  async #stopIfEnded({ tenant, batchId }: RunRequestsInput, stop: SliceStop): Promise<void> {
    const record = await this.#deps.batches.get(tenant, batchId);
    if (standingOf(record, this.#deps.nowMs()) !== 'running') stop.halt();
  }

  #upstreamOf(input: RunRequestsInput): { upstream: Upstream; memory: MemoryBudget } {
    const [upstream, memory] = [this.#deps.upstreams.get(input.upstream), this.#budgets.get(input.upstream)];
    if (upstream !== undefined && memory !== undefined) return { upstream, memory };
    // Retried: a worker that knows it may be on its way.
    throw ApplicationFailure.retryable(`This worker knows no upstream ${input.upstream}.`, 'UnknownUpstream');
  }

  async #storedOutcomes(input: RunRequestsInput, lines: readonly PlannedLine[], counted: CountedShard): Promise<SliceTally['stored']> {
    const outcomes = await this.#deps.readPieces(input.batchId, input.shard);
    // Of all lines of the shard: a lost worker may have had no time to tell what it stored.
    for (const [line, outcome] of outcomes) if (outcome === 'completed') counted.add(line, outcome);
    const found: SliceTally['stored'] = new Map();
    for (const { line } of lines) {
      const outcome = outcomes.get(line);
      if (outcome !== undefined) found.set(line, outcome);
    }
    return found;
  }

  #suspicionOf({ history, heartbeat, stop }: Run) {
    const announceHeavyWork = async () => await heartbeat.beatAndFlush(stop.abort).catch(() => undefined);
    return {
      join: async (signal: AbortSignal) => {
        const company = await this.#suspects.join(history.lossesOnWire, signal);
        const watched = this.#deps.heavyWork.watch(announceHeavyWork);
        return {
          [Symbol.dispose]() {
            watched[Symbol.dispose]();
            company[Symbol.dispose]();
          },
        };
      },
      announce: async (signal: AbortSignal) => await heartbeat.beatAndFlush(signal),
    };
  }

  #toRanRequests(
    { input, waitedMs, running, history }: Run,
    given: {
      lines: readonly PlannedLine[];
      found: SliceTally['stored'];
      tally: SliceTally;
      again: RanRequests['again'];
      upstream: Upstream;
    },
  ): RanRequests {
    const { lines, found, tally, again, upstream } = given;
    return toReport({
      input,
      lines,
      stored: new Map([...found, ...tally.stored]),
      tally,
      again,
      waitedMs,
      meanUpstreamMs: running.answerTime.meanMs ?? 0,
      batchesRunning: this.#deps.batchesRunning.count,
      places: upstream.reach,
      limit: upstream.limit,
      workers: this.#deps.workersOf(input.upstream),
      workerLost: history.mayHavePieces,
    });
  }

  async #endCrashed({ line, customId }: PlannedLine, losses: number, writer: PieceWriter): Promise<SliceTally> {
    const effort = { attempts: losses, milliseconds: null };
    writer.add(crashedLineResult({ line, customId, randomHex: this.#deps.randomHex, ...effort }), () => undefined);
    await writer.end();
    return { ...NOTHING, stored: new Map([[line, 'failed']]) };
  }
}

/** Null when the slice is stopped before. */
async function unlessStopped<T>(coming: Promise<T>, stopSending: AbortSignal): Promise<T | null> {
  try {
    return await coming;
  } catch (error) {
    if (isStop(error, stopSending)) return null;
    throw error;
  }
}

/** Lines of a slice, blank ones included. */
function linesIn({ mixed, firstLine, lastLine }: RunRequestsInput): number {
  return mixed?.lines ?? lastLine - firstLine + 1;
}

function recordOf(
  attempt: number,
  run: Pick<Run, 'history' | 'tries' | 'server' | 'status'> & { writer: PieceWriter | null },
  { hasEnded, isHeavy }: { hasEnded: boolean; isHeavy: boolean },
): AttemptRecord {
  const { losses, lossesOnWire } = run.history;
  // While it runs, the status knows the latest tries.
  const { faults, timeouts, refusals } = hasEnded ? run.tries : (run.status?.tries ?? run.tries);
  return {
    attempt,
    faults,
    timeouts,
    refusals,
    server: run.server,
    ...(run.history.mayHavePieces || run.writer?.hasResults === true ? { left_results: true } : {}),
    sent: run.status?.sent ?? false,
    excused: isHeavy || losses < SUSPICIOUS_LOSSES,
    ended: hasEnded,
    losses,
    losses_on_wire: lossesOnWire,
  };
}
