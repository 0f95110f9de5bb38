import { condition, defineSignal, setHandler, sleep, workflowInfo } from '@temporalio/workflow';
import { lineRanges } from '../src/domain/line-ranges.ts';
import type { ShardRange } from '../src/domain/plan.ts';
import { INITIAL_PACE, type Pace, shardsHandingOut } from '../src/domain/slice.ts';
import { longActivities } from './activities.ts';
import { endOfWindow } from './admission.ts';
import {
  type BatchInput,
  type Progress,
  SHARD_DRAINED_SIGNAL,
  type ShardDrained,
  type ShardEnd,
  type ShardInput,
  type ValidatedInput,
} from './contract.ts';
import type { Ending } from './ending.ts';
import { runShardWorkflow } from './shard-run.ts';
import { beginUpstreams, ofShard, otherPaces, type UpstreamState } from './upstream-paces.ts';
import { backoffMs } from '../src/domain/backoff.ts';

const shardDrained = defineSignal<[ShardDrained]>(SHARD_DRAINED_SIGNAL);
const CLOSING_AT_A_TIME = 8;

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

/** The shards of a batch and what became of them. */
export interface ShardPool {
  /**
   * Works on up to `shardsPerRun` shards, while `mayRun`, until they are closed, or until the batch ends. Then it waits for the open ones
   * to stop, but not for a shard that does not answer: `closeRest` closes that one, and it is terminated with the batch.
   */
  run(mayRun: () => boolean): Promise<void>;
  /**
   * Closes the shards that are left, started or not; only for a batch that ends. Stops early when the history of this run is long:
   * then some are left for the next run.
   */
  closeRest(): Promise<void>;
  /** How many shards are not closed yet. */
  readonly left: number;
  /** Whether `run` returned because the batch is paused and its history long: shards that are not closed may have pieces. */
  readonly isInterrupted: boolean;
  /** Whether the last lines of the batch are handed out, or almost. */
  readonly isDrained: boolean;
  /** The pace of the first upstream, and those of the others. */
  readonly pace: Pace;
  readonly otherPaces: Pick<BatchInput, 'otherPaces'>;
  /** Numbers of the shards whose workflow runs. */
  readonly open: number[];
  progress(): Progress;
}

/**
 * Runs the shards of one batch as child workflows. A few hand out lines of an upstream at a time; when one of them is about to run
 * dry, the next shard with lines for that upstream starts, so that stragglers never leave it idle and a slow upstream does not
 * hold up another. A shard that ends without being closed, for whatever reason, is started again.
 */
export function createShardPool(
  input: BatchInput,
  plan: Extract<ValidatedInput, { verdict: 'accepted' }>,
  { resumed, ending, onChange, onClosed }: { resumed: boolean; ending: Ending; onChange: () => void; onClosed: (shard: number) => void },
): ShardPool {
  const { tenant, batchId, endpoint, inputFileId } = input;
  const { policy } = input;
  const alreadyClosed = new Set(plan.closed);
  const unclosed = new Map(plan.shards.filter(({ shard }) => !alreadyClosed.has(shard)).map((range) => [range.shard, range]));
  const handOutAtOnce = Math.max(1, Math.min(shardsHandingOut(policy.maxInFlight), unclosed.size));
  const upstreams = beginUpstreams(input, plan);
  const open = new Set<number>();
  /** Shards that have begun, and wait until the batch may run again. */
  const held = new Set<number>();
  let mayRun = (): boolean => true;
  let isInterrupted = false;
  let allBegun = false;
  let { completed, failed } = plan;

  setHandler(shardDrained, ({ shard, pace, upstream: name }) => {
    const range = plan.shards[shard];
    for (const upstream of range === undefined ? [] : ofShard(upstreams, range)) {
      if (name !== undefined && upstream.name !== name) continue;
      upstream.handingOut.delete(shard);
      upstream.pace = pace;
    }
    onChange();
  });

  function book(range: ShardRange, counts: { completed: number; failed: number }): void {
    if (!unclosed.delete(range.shard)) return;
    completed += counts.completed;
    failed += counts.failed;
    onClosed(range.shard);
    onChange();
  }

  function shardInput(range: ShardRange, sharing: ReadonlyMap<UpstreamState, number>, mayHavePieces: boolean): ShardInput {
    const mixed = ofShard(upstreams, range).map((each) => {
      const { name, upstream, linesPerActivity, pace } = each;
      return { name, upstream, linesPerActivity, pace, shardsHandingOut: sharing.get(each) ?? handOutAtOnce };
    });
    const [first] = mixed;
    if (first === undefined) throw new Error(`shard ${range.shard} is for no upstream of the plan`);
    const { name: upstream, linesPerActivity, pace, shardsHandingOut } = first;
    const common = { tenant, batchId, endpoint, inputFileId, upstream, ...endOfWindow(input, ending) };
    const sizes = { policy: { ...policy, linesPerActivity }, pace, shardsHandingOut };
    return { ...common, ...sizes, range, resumed: mayHavePieces, ...(mixed.length > 1 || range.copies !== undefined ? { mixed } : {}) };
  }

  function learn(range: ShardRange, { pace, paces }: ShardEnd): void {
    for (const upstream of ofShard(upstreams, range)) upstream.pace = paces?.[upstream.name] ?? pace;
  }

  async function keepRunning(range: ShardRange, sharing: ReadonlyMap<UpstreamState, number>, mayHavePieces: boolean): Promise<void> {
    const own = ofShard(upstreams, range);
    const goOn = (): boolean => unclosed.has(range.shard) && ending.reason === null;
    for (let runs = 0, failures = 0; goOn(); runs++) {
      if (!mayRun()) await hold(range);
      if (!goOn()) break;
      open.add(range.shard);
      for (const { handingOut } of own) handingOut.add(range.shard);
      const end = await runShardWorkflow(shardInput(range, sharing, mayHavePieces || runs > 0), ending);
      open.delete(range.shard);
      for (const { handingOut } of own) handingOut.delete(range.shard);
      if (end !== null) learn(range, end);
      if (end?.closed) book(range, end);
      failures = end === null ? failures + 1 : 0;
      if (goOn()) await ending.orNull(() => sleep(backoffMs(failures, FIRST_RETRY_MS, LAST_RETRY_MS)));
    }
  }

  async function hold({ shard }: ShardRange): Promise<void> {
    held.add(shard);
    onChange();
    await condition(() => mayRun() || ending.reason !== null);
    held.delete(shard);
  }

  /** A batch may be paused any number of times, and no history is without end. */
  function isToInterrupt(): boolean {
    return ending.paused && open.size === 0 && workflowInfo().historyLength > policy.longHistoryEvents;
  }

  function interrupt(): void {
    if (!isToInterrupt()) return;
    isInterrupted = true;
    mayRun = () => false;
  }

  /** The first of these shards with lines for an upstream that few shards hand out lines of. */
  function nextShard(waiting: readonly ShardRange[]): ShardRange | null {
    const free = upstreams.filter(({ handingOut }) => handingOut.size < handOutAtOnce);
    if (free.length === 0 || open.size >= policy.maxOpenShards) return null;
    return waiting.find((range) => ofShard(upstreams, range).some((upstream) => free.includes(upstream))) ?? null;
  }

  /** Between how many shards each upstream of a shard that starts now shares its lead. */
  function sharingOf(range: ShardRange, waiting: readonly ShardRange[]): Map<UpstreamState, number> {
    return new Map(
      ofShard(upstreams, range).map((upstream) => {
        // The last ones have the lead to themselves: nobody comes after them who would fill it.
        const left = waiting.filter((each) => ofShard(upstreams, each).includes(upstream)).length;
        const { size } = upstream.handingOut;
        // More hand out lines where another upstream let the shards start.
        return [upstream, size < handOutAtOnce ? Math.min(handOutAtOnce, left) : size + 1];
      }),
    );
  }

  /** Returns when `isDone`, or when the batch has ended and its shards have had the time that they get to stop. */
  async function doneOrGivenUp(isDone: () => boolean): Promise<void> {
    await condition(() => isDone() || ending.reason !== null);
    if (isDone()) return;
    await condition(isDone, policy.cancelGraceMs + policy.shardStopTimeoutMs);
  }

  return {
    async run(allowed) {
      mayRun = allowed;
      const running: Promise<void>[] = [];
      const isLastRun = unclosed.size <= policy.shardsPerRun;
      let waiting = [...unclosed.values()].slice(0, policy.shardsPerRun);
      for (let begun = 0; waiting.length > 0; begun++) {
        await condition(() => ending.reason !== null || isToInterrupt() || (mayRun() && nextShard(waiting) !== null));
        interrupt();
        const range = nextShard(waiting);
        if (ending.reason !== null || isInterrupted || range === null) break;
        // Only the first ones can have been open when an earlier run of this batch was lost, and with several upstreams any.
        const mayHavePieces = resumed && (begun < policy.maxOpenShards || upstreams.length > 1);
        running.push(keepRunning(range, sharingOf(range, waiting), mayHavePieces));
        waiting = waiting.filter((each) => each !== range);
        allBegun = waiting.length === 0 && isLastRun;
        onChange();
      }
      let isDone = false;
      const all = Promise.all(running).then(() => {
        isDone = true;
      });
      await Promise.race([all, doneOrGivenUp(() => isDone), condition(isToInterrupt)]);
      if (!isDone) interrupt();
    },

    async closeRest() {
      const rest = [...unclosed.values()].values();
      async function closeLane(): Promise<void> {
        for (const range of rest) {
          if (workflowInfo().historyLength > policy.longHistoryEvents) return;
          for (let tries = 0; unclosed.has(range.shard); tries++) {
            if (tries > 0) await sleep(backoffMs(tries, FIRST_RETRY_MS, LAST_RETRY_MS));
            const closed = await longActivities(policy).closeShard({ tenant, batchId, range });
            // Not closed: by the clock of that worker the window has not ended yet.
            if (closed.closed) book(range, closed);
          }
        }
      }
      await Promise.all(Array.from({ length: CLOSING_AT_A_TIME }, closeLane));
    },

    get left() {
      return unclosed.size;
    },
    get isInterrupted() {
      return isInterrupted;
    },
    get isDrained() {
      return allBegun && held.size === 0 && upstreams.every(({ handingOut }) => handingOut.size === 0);
    },
    get pace() {
      return upstreams[0]?.pace ?? INITIAL_PACE;
    },
    get otherPaces() {
      return otherPaces(upstreams);
    },
    get open() {
      return [...open].filter((shard) => unclosed.has(shard));
    },
    progress: () => ({ completed, failed, unclosed: lineRanges(unclosed.keys()) }),
  };
}
