import type { PlannedLine } from '../../src/domain/plan.ts';
import type { Tries } from '../../src/domain/retry.ts';
import type { LineResult } from '../../src/domain/piece.ts';
import type { TakenSlice } from '../../src/upstream/admission/intake.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import type { RunRequestsInput } from '../../workflows/contract.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import type { AnswerTime } from '../../src/domain/answer-time.ts';
import type { PieceWriter } from './piece-writer.ts';
import { type LineEnd, sendLine } from './send-line.ts';
import type { SliceStatus } from './slice-status.ts';
import type { SliceStop } from './stop.ts';
import type { StoredCounter } from './stored-counter.ts';

/** What came of the lines of a slice; lines in none of the maps were not touched. */
export interface SliceTally {
  /** Lines with an outcome in a piece. */
  stored: Map<number, 'completed' | 'failed'>;
  /** Lines that failed by themselves and are to be tried again. */
  retried: Map<number, LineEnd & { kind: 'retry' }>;
  /** Lines that no server took. */
  postponed: Map<number, LineEnd & { kind: 'postponed' }>;
  /** Requests answered. */
  answered: number;
}

/** What all lines of a running slice share. */
export interface Slice {
  readonly input: RunRequestsInput;
  readonly upstream: Upstream;
  readonly read: (line: PlannedLine) => Promise<Buffer>;
  readonly memory: MemoryBudget;
  readonly writer: PieceWriter;
  readonly stop: SliceStop;
  readonly status: SliceStatus;
  readonly counter: StoredCounter;
  readonly taken: TakenSlice;
  readonly answerTime: AnswerTime;
  /** 1 is most urgent. */
  readonly priority: number;
  /** Of each request, from earlier attempts. */
  readonly tries: Tries;
  /** Where the request of a slice of one was sent last; null when it was not, or when that is not known. */
  readonly lastServer: number | null;
  /** Whether Temporal times each request, because the upstream has a budget of requests. */
  readonly isPaced: boolean;
  /** Of a request that may kill the worker: it waits for few of its kind, and says before it goes out that it does. */
  readonly suspicion: { join(signal: AbortSignal): Promise<Disposable>; announce(signal: AbortSignal): Promise<void> } | null;
  /** Whether the bucket keeps up with what has been answered. Throws when nothing may be sent any more. */
  bucketKeepsUp(): boolean;
  /** Takes a result into the next piece. */
  add(result: LineResult): void;
  /** Ends early with the signal. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
  randomHex(digits: number): string;
  nowMs(): number;
}

/** Lines of a slice that are read and wait for their place; what has not begun weighs next to nothing. */
const LANES = 32;

/**
 * Sends all lines, as fast as upstream and memory let them, and stores what comes back. Returns when every line has its outcome in a
 * piece, is to be tried again, or was stopped. Anything else is thrown, after all lines have ended.
 */
export async function runSlice(lines: readonly PlannedLine[], given: Omit<Slice, 'add'>): Promise<SliceTally> {
  const { memory, writer, status, counter, taken, stop } = given;
  const tally: SliceTally = { stored: new Map(), retried: new Map(), postponed: new Map(), answered: 0 };
  const slice: Slice = {
    ...given,
    add(result) {
      writer.add(result, settled);
      if (memory.isCrowded) writer.flush();
    },
  };
  const failures: unknown[] = [];

  function settled({ line, outcome, failure, resultLine }: LineResult, isStored: boolean): void {
    memory.release(resultLine.length);
    if (!isStored) return;
    tally.stored.set(line, outcome);
    status.stored[outcome] += 1;
    counter.stored(line, outcome, failure);
  }

  async function runLine(planned: PlannedLine, passOn: () => void): Promise<void> {
    const { line } = planned;
    try {
      const end = await sendLine(planned, slice, passOn);
      if (end.kind === 'outcome' && end.outcome.kind === 'answered') tally.answered += 1;
      if (end.kind === 'retry') tally.retried.set(line, end);
      if (end.kind === 'postponed') tally.postponed.set(line, end);
    } catch (error) {
      if (!isStop(error, stop.stopSending)) failures.push(error);
    } finally {
      passOn();
      taken.finishLine();
    }
  }

  const ends: Promise<void>[] = [];
  const next = lines.values();
  /** Begins a line when the one before is on the wire, waits for something of its own, or has ended. */
  async function lane(): Promise<void> {
    for (const planned of next) await new Promise<void>((passOn) => ends.push(runLine(planned, passOn)));
  }
  await Promise.all(Array.from({ length: LANES }, lane));
  await Promise.all(ends);
  await writer.end();
  await counter.settle();
  if (failures.length > 0) throw failures[0];
  return tally;
}

/** Whether an error says only that sending was stopped while something waited. */
export function isStop(error: unknown, stopSending: AbortSignal): boolean {
  return stopSending.aborted && error instanceof Error && error.name === 'AbortError';
}
