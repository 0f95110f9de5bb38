import type { PlannedLine } from '../src/domain/plan.ts';
import { readRequestLine } from '../src/domain/request-line.ts';
import type { LineResult } from '../src/storage/piece-store.ts';
import type { FaultCode } from '../src/upstream/client.ts';
import type { TakenSlice } from '../src/upstream/intake.ts';
import type { Upstream } from '../src/upstream/routes.ts';
import type { SendResult, SendState } from '../src/upstream/send-request.ts';
import type { RunRequestsInput } from '../workflows/contract.ts';
import type { AnswerTime } from './answer-time.ts';
import type { ActivityDeps } from './deps.ts';
import { toLineResult } from './line-results.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { PieceWriter } from './piece-writer.ts';
import type { Pulse } from './pulse.ts';
import type { SliceBoard } from './slice-board.ts';
import type { SliceStop } from './slice-stop.ts';

/** A request that is to be tried again. */
export interface Fault {
  faults: number;
  code: FaultCode;
  status: number | null;
}

/** A request that a new attempt is to send when the wait is over: it was refused, or held back where `status` is null. */
export interface Postponed {
  refusals: number;
  status: number | null;
  waitMs: number;
}

/** What came of the lines of a slice; lines in none of the maps were not touched. */
export interface SliceTally {
  /** Lines with an outcome in a piece. */
  stored: Map<number, 'completed' | 'failed'>;
  faulted: Map<number, Fault>;
  /** Only where Temporal paces them. */
  postponed: Map<number, Postponed>;
  /** Requests answered. */
  answered: number;
}

export interface SliceRun {
  input: RunRequestsInput;
  /** What is to be sent. */
  lines: readonly PlannedLine[];
  read: (line: PlannedLine) => Promise<Buffer>;
  upstream: Upstream;
  sendUntilDone: ActivityDeps['sendUntilDone'];
  randomHex: ActivityDeps['randomHex'];
  memory: MemoryBudget;
  writer: PieceWriter;
  stop: SliceStop;
  pulse: Pulse;
  board: SliceBoard;
  taken: TakenSlice;
  answerTime: AnswerTime;
  /** Of each request, from earlier attempts. */
  faults: number;
  refusals: number;
  /** Whether each time that a request goes out is for Temporal to time. */
  isPaced: boolean;
  nowMs: () => number;
  /** Awaited right before a request goes out; null where nothing is to be done. */
  beforeSend: (() => Promise<void>) | null;
}

/** Lines of a slice that are read and wait for their place; what has not begun weighs next to nothing. */
const LANES = 32;

/**
 * Sends all lines, as fast as limiter and memory let them, and stores what comes back. Returns when every line has its
 * outcome in a piece, or a fault, or was stopped. What fails otherwise is thrown, after all lines have ended.
 */
export async function runSlice(run: SliceRun): Promise<SliceTally> {
  const { input, lines, upstream, sendUntilDone, randomHex, memory, writer, stop, pulse, board, answerTime } = run;
  const { stopSending } = stop;
  const tally: SliceTally = { stored: new Map(), faulted: new Map(), postponed: new Map(), answered: 0 };

  /** Whether the bucket keeps up with what has been answered; throws when nothing may be sent any more. */
  function isClear(): boolean {
    pulse.check();
    stopSending.throwIfAborted();
    return !writer.isLate;
  }

  async function clearToSend(line: number): Promise<void> {
    while (!isClear()) {
      board.show(line, { state: 'waiting', for: 'the bucket' });
      await writer.arrival(stopSending);
    }
  }

  async function send(line: number, body: Uint8Array, onSent: () => void): Promise<SendResult> {
    let isInFlight = false;
    let stepBack = (): void => undefined;
    const goesOut = (): void => {
      board.show(line, { state: 'sent' });
      answerTime.begin();
      isInFlight = true;
      onSent();
    };
    const preparesToGo = async (): Promise<void> => {
      await clearToSend(line);
      if (run.beforeSend !== null) {
        board.show(line, { state: 'sent' });
        await run.beforeSend();
        // Time has passed: a pause may lie in it.
        await clearToSend(line);
      }
      goesOut();
    };
    const onState = (state: SendState): void | Promise<void> => {
      if (isInFlight) answerTime.end(false);
      isInFlight = false;
      stepBack();
      if (state.state === 'refused') stepBack = run.taken.stepAside();
      if (state.state !== 'sent') return board.show(line, state);
      // Where there is nothing to wait for, nothing is awaited: this happens thousands of times a second.
      return run.beforeSend === null && isClear() ? goesOut() : preparesToGo();
    };
    let isAnswered = false;
    try {
      const sent = await sendUntilDone({
        upstream,
        batchId: input.batchId,
        // Lines of a younger slice begin as well, but an older one is to end first.
        rank: run.taken.ordinal,
        requestKey: `${input.batchId}/${line}`,
        request: { endpoint: input.endpoint, body: upstream.rewrite(body), idempotencyKey: `${input.batchId}-${line}` },
        signal: stop.abort,
        stopSending,
        faults: run.faults,
        refusals: run.refusals,
        onState,
        isPaced: run.isPaced,
      });
      isAnswered = sent.kind === 'outcome' && sent.outcome.kind === 'answered';
      return sent;
    } finally {
      stepBack();
      if (isInFlight) answerTime.end(isAnswered);
    }
  }

  /** The request until it has an outcome, which goes into the next piece. */
  async function answer(planned: PlannedLine, onSent: () => void): Promise<void> {
    const { line } = planned;
    if (!isClear()) await clearToSend(line);
    board.show(line, { state: 'waiting', for: 'memory' });
    const room = memory.reserve(planned.length, stopSending);
    // Who waits for room must not wait for results that wait for company.
    if (memory.isCrowded) writer.flush();
    const lease = await room;
    try {
      const { customId, body } = readRequestLine(await run.read(planned));
      board.name(customId);
      board.show(line, { state: 'waiting' });
      const sent = await send(line, body, onSent);
      if (sent.kind === 'fault') tally.faulted.set(line, sent);
      if (sent.kind === 'postponed') {
        tally.postponed.set(line, sent);
        // The next attempt goes on counting from here.
        board.show(line, { state: 'refused', refusals: sent.refusals, nextTryMs: run.nowMs() + sent.waitMs });
      }
      if (sent.kind !== 'outcome') return;

      if (sent.outcome.kind === 'answered') tally.answered += 1;
      const result = toLineResult(sent.outcome, { line, customId, randomHex });
      lease.exchange(result.resultLine.length);
      writer.add(result, settled);
      if (memory.isCrowded) writer.flush();
    } finally {
      board.show(line, null);
      lease.release();
    }
  }

  function settled({ line, outcome, resultLine }: LineResult, isStored: boolean): void {
    memory.release(resultLine.length);
    if (!isStored) return;
    tally.stored.set(line, outcome);
    board.count(outcome);
  }

  const failures: unknown[] = [];
  async function runLine(planned: PlannedLine, onSent: () => void): Promise<void> {
    try {
      await answer(planned, onSent);
    } catch (error) {
      if (!isStop(error, stopSending)) failures.push(error);
    } finally {
      onSent();
      run.taken.finishLine();
    }
  }

  const ends: Promise<void>[] = [];
  const next = lines.values();
  /** Begins a line when the one before is on the wire, or over. */
  async function lane(): Promise<void> {
    for (const planned of next) await new Promise<void>((onSent) => ends.push(runLine(planned, onSent)));
  }
  await Promise.all(Array.from({ length: LANES }, lane));
  await Promise.all(ends);
  await writer.end();
  if (failures.length > 0) throw failures[0];
  return tally;
}

/** Whether an error says only that sending was stopped while something waited. */
export function isStop(error: unknown, stopSending: AbortSignal): boolean {
  return stopSending.aborted && error instanceof Error && error.name === 'AbortError';
}
