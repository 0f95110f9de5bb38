import { CancellationScope, condition, sleep, TemporalFailure, workflowInfo } from '@temporalio/workflow';
import { containsLine, type LineRange } from '../src/domain/line-ranges.ts';
import { allLines, type OwnLines } from '../src/domain/own-lines.ts';
import { learn, type Pace, shardShare, sliceLines } from '../src/domain/slice.ts';
import { runRequests } from './activities.ts';
import type { RanRequests, RunRequestsInput, ShardInput, ShardLines, StoredLines } from './contract.ts';
import { backoffMs } from '../src/domain/backoff.ts';

/** Activities scheduled in one workflow task. */
const COMMANDS_AT_ONCE = 100;

/** Lines to hand out. */
interface Todo {
  range: LineRange;
  /** Faults of these lines so far. */
  faults: number;
  /** What else is known of the earlier tries of one line. */
  past?: Pick<RunRequestsInput, 'timeouts' | 'refusals' | 'server'>;
  /** Whether pieces may exist that nothing has listed yet: the activity lists them before it sends. */
  resumed: boolean;
  /** Whether a lost worker may still store a result for these lines. */
  contested: boolean;
  /** How often in a row an activity has come back without having touched any of them. */
  untouched: number;
}

/** Hands out the lines of one shard and books what comes back. */
export interface HandOut {
  /**
   * Says what is to be handed out; called once, before `run`. Lines with an outcome are not sent again. `lines` tells which lines of
   * a shard for several upstreams go where.
   */
  begin(shard: { stored: StoredLines; lines: ShardLines }): void;
  /** Runs until every line is booked or it is over, and nothing is out any more. */
  run(): Promise<void>;
  /** Hands out nothing new; what is queued ends, what is running returns what it has. */
  stop(): void;
  /** Puts lines back that turned out to have no outcome, as slices of one. */
  putBack(missing: readonly LineRange[]): void;
  /** Whether nothing more is handed out: stopped, or the history has grown long. */
  readonly over: boolean;
  readonly pace: Pace;
  readonly completed: number;
  /** Without lines that a lost worker may still answer: `closeShard` prefers an answer, and this count must not step back. */
  readonly failed: number;
  /** Lines handed out and not back, blank ones included. */
  readonly linesOut: number;
}

/** What a hand-out tells whoever made it. */
export interface HandOutListener {
  /** Once, after the last line went out and half of what this shard may have out has come back. */
  onDrained(): void;
  /** Whenever lines went out or came back. */
  onChange(): void;
}

/**
 * Hands out slices in line order, as many lines at a time as this shard's share of the lead. Only what an activity returns
 * is booked: lines in neither of its lists are handed out again. `mixed` are the lines of one upstream in a shard for several.
 */
export function createHandOut(
  input: ShardInput,
  { onDrained, onChange }: HandOutListener,
  mixed?: { upstream: number; lines: OwnLines },
): HandOut {
  const { range, policy, urgentFromMs } = input;
  const own = mixed?.lines ?? allLines([range.firstLine, range.lastLine]);
  const todo: Todo[] = [];
  const shardLines = own.count(own.whole);
  const requests = mixed === undefined ? range.requests : shardLines;
  const sending = new CancellationScope({ cancellable: true });
  let pace = input.pace;
  let linesOut = 0;
  let slicesOut = 0;
  let backingOff = 0;
  let changes = 0;
  let stopped = false;
  let drained = false;
  let completed = 0;
  let failed = 0;

  function nextSliceLines(): number {
    return sliceLines({ pace, policy, shardLines });
  }

  function share(): number {
    return shardShare({ lead: pace.lead, shardsHandingOut: input.shardsHandingOut, sliceLines: nextSliceLines() });
  }

  function mayHandOut(): boolean {
    return !isOver() && todo.length > 0 && linesOut < share();
  }

  function isOver(): boolean {
    return stopped || workflowInfo().historyLength > policy.longHistoryEvents;
  }

  /** The next slice, cut from the first lines that wait. */
  function nextSlice(): Todo | null {
    const head = todo[0];
    if (head === undefined) return null;
    const [slice, rest] = own.cut(head.range, nextSliceLines());
    if (rest === null) return todo.shift() ?? null;
    head.range = rest;
    return { ...head, range: slice };
  }

  async function send(slice: Todo): Promise<void> {
    const [firstLine, lastLine] = slice.range;
    const lines = own.count(slice.range);
    const scheduledAtMs = Date.now();
    linesOut += lines;
    slicesOut += 1;
    try {
      const { tenant, batchId, endpoint, inputFileId, upstream, expiresAtMs } = input;
      const ran = await sending.run(() =>
        runRequests(
          { policy, urgentFromMs },
          {
            tenant,
            batchId,
            endpoint,
            inputFileId,
            upstream,
            shard: range.shard,
            firstLine,
            lastLine,
            ...(mixed === undefined ? {} : { mixed: { upstream: mixed.upstream, lines } }),
            faults: slice.faults,
            ...slice.past,
            resumed: slice.resumed,
            contested: slice.contested,
            expiresAtMs,
            cancelGraceMs: policy.cancelGraceMs,
          },
        ),
      );
      book(slice, ran, scheduledAtMs);
    } catch (error) {
      if (!(error instanceof TemporalFailure)) throw error;
      // Cancelled in the queue, or lost for good: pieces may lie there all the same.
      handOutLater([{ ...slice, resumed: true, contested: true, untouched: slice.untouched + 1 }]);
    } finally {
      linesOut -= lines;
      slicesOut -= 1;
      changes += 1;
    }
  }

  function book(slice: Todo, ran: RanRequests, scheduledAtMs: number): void {
    const { maxInFlight } = policy;
    pace = learn(pace, ran, { maxInFlight, lines: nextSliceLines(), scheduledAtMs, nowMs: Date.now() });
    const contested = slice.contested || ran.workerLost === true;
    completed += ran.completed;
    if (!contested) failed += ran.failed;
    const again = new Set(ran.again.map(({ line }) => line));
    const rest = own.in([slice.range]).filter((line) => !again.has(line) && !containsLine(ran.covered, line));
    // Lines of other upstreams in between count as covered, so what is covered does not tell.
    const untouched = rest.length === own.count(slice.range) ? slice.untouched + 1 : 0;
    // An attempt that may have had predecessors has listed the pieces, so the rest has none that another listing would show.
    handOutLater(own.ranges(rest).map((range) => ({ range, faults: slice.faults, resumed: false, contested, untouched })));
    // One timer for all lines that wait about equally long keeps the history short.
    const byWait = Map.groupBy(ran.again, ({ faults, waitMs = pauseMs(faults) }) => roundedUp(waitMs));
    for (const [waitMs, lines] of byWait) {
      handOutLater(
        lines.map(({ line, faults, waitMs: _, ...past }) => ({
          range: [line, line],
          faults,
          past,
          resumed: false,
          contested,
          untouched: 0,
        })),
        waitMs,
      );
    }
  }

  /** Puts lines of equal fate at the head of what waits: at once, or after the backoff that their faults demand. */
  function handOutLater(lines: Todo[], leastMs = 0): void {
    const [first] = lines;
    if (first === undefined || stopped) return;
    const waitMs = Math.max(leastMs, pauseMs(first.untouched));
    if (waitMs === 0) {
      todo.unshift(...lines);
      return;
    }
    backingOff += 1;
    sending
      .run(() => sleep(waitMs))
      .then(
        () => todo.unshift(...lines),
        () => undefined,
      )
      .finally(() => {
        backingOff -= 1;
        changes += 1;
      });
  }

  return {
    begin({ stored }) {
      const answered = own.in(stored.completed);
      completed += answered.length;
      const hasOutcome = new Set([...answered, ...own.in(stored.failed)]);
      const open = own.in([own.whole]).filter((line) => !hasOutcome.has(line));
      // A worker of the earlier run may still answer any line, so failures that are stored do not count yet either.
      const contested = input.resumed;
      todo.push(...own.ranges(open).map((range) => ({ range, faults: 0, resumed: false, contested, untouched: 0 })));
    },
    async run() {
      for (;;) {
        const seen = changes;
        for (let commands = 0; mayHandOut(); commands++) {
          if (commands === COMMANDS_AT_ONCE) {
            await sleep(1);
            commands = 0;
          }
          const slice = nextSlice();
          if (slice !== null) void send(slice);
        }
        // Half its share is still out, so that the next shard takes over before this one runs dry, and never all of them at once.
        if (todo.length === 0 && !drained && linesOut <= share() / 2) {
          drained = true;
          onDrained();
        }
        onChange();
        const waiting = isOver() ? 0 : backingOff + todo.length;
        if (slicesOut === 0 && waiting === 0) return;
        await condition(() => changes !== seen);
      }
    },
    stop() {
      stopped = true;
      changes += 1;
      sending.cancel();
    },
    putBack(missing) {
      // `closeShard` has just read the pieces.
      for (const line of own.in(missing)) todo.push({ range: [line, line], faults: 0, resumed: false, contested: true, untouched: 0 });
    },
    get over() {
      return isOver();
    },
    get pace() {
      return pace;
    },
    get completed() {
      return Math.min(completed, requests);
    },
    get failed() {
      return Math.min(failed, requests - Math.min(completed, requests));
    },
    get linesOut() {
      return linesOut;
    },
  };
}

/** To whole seconds, and longer waits to eighths of a power of two: a slice with hundreds of lines that wait starts few timers. */
function roundedUp(waitMs: number): number {
  let stepMs = 1_000;
  while (stepMs * 16 < waitMs) stepMs *= 2;
  return Math.ceil(waitMs / stepMs) * stepMs;
}

/** 1 s, 2 s, 4 s … up to a minute; nothing for zero. */
function pauseMs(times: number): number {
  return times === 0 ? 0 : backoffMs(times - 1, 1_000, 60_000);
}
