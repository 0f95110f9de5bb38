import { ApplicationFailure, Context } from '@temporalio/activity';
import { linesOfSlice, type PlannedLine } from '../src/domain/plan.ts';
import { readRequestLine } from '../src/domain/request-line.ts';
import type { Upstream } from '../src/upstream/routes.ts';
import type { RanRequests, RunRequestsInput } from '../workflows/contract.ts';
import type { BatchesRunning } from './batches-running.ts';
import type { ActivityDeps } from './deps.ts';
import type { RecordCounts } from './record-counts.ts';
import { reportCounts } from './slice-counts.ts';
import { countOutcomes, toReport } from './slice-report.ts';
import { crashedLineResult } from './line-results.ts';
import { createMemoryBudget, type MemoryBudget } from './memory-budget.ts';
import { createPieceWriter, type PieceWriter } from './piece-writer.ts';
import { createPulse } from './pulse.ts';
import { createShardInputs } from './shard-input.ts';
import { createPieceReader } from './shard-pieces.ts';
import { createSliceBoard, type SliceBoard } from './slice-board.ts';
import { startSliceHeart } from './slice-heart.ts';
import { recall, type Recollection, type SliceMemory } from './slice-memory.ts';
import { toFailure, toPostponed } from './slice-failures.ts';
import { isStop, runSlice, type SliceTally } from './slice-run.ts';
import { watchForStop } from './slice-stop.ts';
import { createSuspects } from './suspects.ts';

const MEMORY_BYTES = 256 * 1024 * 1024;
/** Losses of the worker after which a slice of many is split, and a slice of one handled as the likely cause. */
const SUSPICIOUS_LOSSES = 2;
/** The loss of the worker, with the request on the wire, that ends a request. */
const MAX_LOSSES_ON_WIRE = 5;
const NOTHING: SliceTally = { stored: new Map(), faulted: new Map(), postponed: new Map(), answered: 0 };

/**
 * Sends the requests of a slice and stores what came of them. A second run lists the pieces first and sends what none of them
 * has; what two runs both sent is decided when the shard is closed. Results in pieces are facts, whatever becomes of this run.
 */
export function createRunRequests(deps: ActivityDeps & { batchesRunning: BatchesRunning; recordCounts: RecordCounts }) {
  const {
    batchesRunning,
    recordCounts,
    pieces,
    upstreams,
    workersOf,
    sendUntilDone,
    nowMs,
    monotonicMs,
    randomHex,
    draining,
    heartbeatThrottleMs,
    memoryBytes = MEMORY_BYTES,
  } = deps;
  const inputs = createShardInputs(deps);
  const readPieces = createPieceReader(pieces);
  const pulse = createPulse(deps);
  const suspects = createSuspects();
  // One budget per upstream: bodies that wait for one that is away must not keep those of another out.
  const budgets = new Map<string, MemoryBudget>();
  for (const name of upstreams.keys()) budgets.set(name, createMemoryBudget(memoryBytes / upstreams.size));

  function upstreamOf(input: RunRequestsInput): { upstream: Upstream; memory: MemoryBudget } {
    const [upstream, memory] = [upstreams.get(input.upstream), budgets.get(input.upstream)];
    if (upstream !== undefined && memory !== undefined) return { upstream, memory };
    // Retried: a worker that knows it may be on its way.
    throw ApplicationFailure.retryable(`This worker knows no upstream ${input.upstream}.`, 'UnknownUpstream');
  }

  async function storedOutcomes(input: RunRequestsInput, lines: readonly PlannedLine[]): Promise<SliceTally['stored']> {
    const outcomes = await readPieces(input.batchId, input.shard);
    const found: SliceTally['stored'] = new Map();
    for (const { line } of lines) {
      const outcome = outcomes.get(line);
      if (outcome !== undefined) found.set(line, outcome);
    }
    return found;
  }

  return async function runRequests(input: RunRequestsInput): Promise<RanRequests> {
    const context = Context.current();
    const { activityId, attempt, currentAttemptScheduledTimestampMs, heartbeatDetails } = context.info;
    const waitedMs = Math.max(0, nowMs() - currentAttemptScheduledTimestampMs);
    const startedMs = monotonicMs();
    // Temporal's clock, which also ends the window, less the wait for a worker: our own may be wrong and end it too early.
    const temporalMs = () => currentAttemptScheduledTimestampMs + monotonicMs() - startedMs;
    const past = recall(heartbeatDetails, { attempt, faults: input.faults });
    const { expiresAtMs, cancelGraceMs, batchId, shard } = input;
    let board: SliceBoard | null = null;
    const own = { faults: past.faults, ended: false };
    const details = () => ({ ...(board?.describe() ?? { waiting: 'for its lines' }), ...toMemory(attempt, past, own, board) });

    // Also at the start: results of a worker that was lost may not be in the record yet.
    recordCounts.changed(input);
    using running = batchesRunning.enter(batchId);
    using stop = watchForStop({ context, draining, pulse, nowMs: temporalMs, expiresAtMs, cancelGraceMs });
    using heart = startSliceHeart(context, heartbeatThrottleMs, details);
    const writerName = `${activityId}-${attempt}-${randomHex(16)}`;
    const writer = createPieceWriter({
      put: async (piece, results) => await pieces.putPiece({ batchId, shard, writer: writerName, piece }, results),
      monotonicMs,
      giveUp: stop.giveUp,
    });

    function reportStored(): void {
      heart.sendNow();
      recordCounts.changed(input);
    }

    async function live(): Promise<RanRequests> {
      const { upstream, memory } = upstreamOf(input);
      const isSuspicious = past.losses >= SUSPICIOUS_LOSSES;
      // Suspects wait for each other, and must not keep other lines out of this process meanwhile.
      using taken = upstream.intake.take(isSuspicious ? 0 : (input.mixed?.lines ?? input.lastLine - input.firstLine + 1));
      const plan = await inputs.plan(batchId, shard);
      const lines = linesOfSlice(plan, input);
      const found: SliceTally['stored'] = input.resumed || past.mayHavePieces ? await storedOutcomes(input, lines) : new Map();
      const rest = lines.filter(({ line }) => !found.has(line));
      const only = lines.length === 1 ? rest[0] : undefined;
      board = createSliceBoard({
        lines: lines.map(({ line }) => line),
        found: countOutcomes(found),
        refusals: past.refusals,
        isContested: input.resumed || past.losses > 0,
      });
      using _reports = lines.length > 1 ? reportCounts(board, reportStored) : null;
      const report = (tally: SliceTally, again: RanRequests['again']) =>
        toReport({
          input,
          lines,
          stored: new Map([...found, ...tally.stored]),
          tally,
          again,
          waitedMs,
          meanUpstreamMs: running.answerTime.meanMs ?? 0,
          batchesRunning: batchesRunning.count,
          places: upstream.limiter.reach,
          workers: workersOf(input.upstream),
          workerLost: past.losses > 0,
        });

      if (lines.length > 1 && isSuspicious) {
        return report(
          NOTHING,
          rest.map(({ line }) => ({ line, faults: input.faults })),
        );
      }
      const read = inputs.reader(input, plan, rest);
      if (only !== undefined && past.lossesOnWire >= MAX_LOSSES_ON_WIRE) {
        return report(await endCrashed(only, await read(only), writer), []);
      }
      const isSuspect = only !== undefined && isSuspicious;
      using _turn = isSuspect ? await turnOf(input.upstream, past.lossesOnWire, stop.stopSending) : null;
      const tally = await runSlice({
        input,
        lines: rest,
        read,
        upstream,
        sendUntilDone: isSuspect ? suspects.guarded(sendUntilDone, past.lossesOnWire) : sendUntilDone,
        randomHex,
        memory,
        writer,
        stop,
        pulse,
        board,
        taken,
        answerTime: running.answerTime,
        faults: past.faults,
        refusals: past.refusals,
        // Each time that a request goes out counts against the budget, and only Temporal knows all of them.
        isPaced: only !== undefined && upstream.requestsPerMinute !== null,
        nowMs,
        // Who may kill the worker says before that it is about to.
        beforeSend: isSuspect ? async () => await heart.beatAndFlush(stop.stopSending) : null,
      });

      if (only === undefined)
        return report(
          tally,
          [...tally.faulted].map(([line, { faults }]) => ({ line, faults })),
        );
      const fault = tally.faulted.get(only.line);
      own.faults = fault?.faults ?? own.faults;
      if (fault !== undefined && !stop.stopSending.aborted) throw toFailure(fault, input.upstream);
      const postponed = tally.postponed.get(only.line);
      if (postponed !== undefined && !stop.stopSending.aborted) throw toPostponed(postponed, input.upstream);
      // Faults that this activity has learnt of live on in the next one only if they are handed back.
      const isOwing = !tally.stored.has(only.line) && own.faults > input.faults;
      return report(tally, isOwing ? [{ line: only.line, faults: own.faults }] : []);
    }

    try {
      return await live();
    } catch (error) {
      // Beaten before the attempt ends, so that the next one knows that no worker was lost, and how many faults there were.
      own.ended = true;
      heart.beat();
      throw error;
    } finally {
      recordCounts.changed(input);
    }
  };

  /** Null when the slice is stopped before. */
  async function turnOf(upstream: string, lossesOnWire: number, stopSending: AbortSignal): Promise<Disposable | null> {
    try {
      return await suspects.turn(upstream, lossesOnWire, stopSending);
    } catch (error) {
      if (isStop(error, stopSending)) return null;
      throw error;
    }
  }

  async function endCrashed({ line }: PlannedLine, bytes: Buffer, writer: PieceWriter): Promise<SliceTally> {
    writer.add(crashedLineResult({ line, customId: readRequestLine(bytes).customId, randomHex }), () => undefined);
    await writer.end();
    return { ...NOTHING, stored: new Map([[line, 'failed']]) };
  }
}

function toMemory(attempt: number, past: Recollection, own: { faults: number; ended: boolean }, board: SliceBoard | null): SliceMemory {
  const { losses, lossesOnWire } = past;
  const { faults, ended } = own;
  return {
    attempt,
    faults,
    refusals: board?.refusals ?? past.refusals,
    sent: board?.sent ?? false,
    ended,
    losses,
    losses_on_wire: lossesOnWire,
  };
}
