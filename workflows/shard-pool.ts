import { condition, defineSignal, patched, setHandler, sleep } from '@temporalio/workflow';
import type { ShardRange } from '../src/domain/plan.ts';
import { firstPace, INITIAL_PACE, type Pace, shardsHandingOut, SIZING } from '../src/domain/slice.ts';
import { longActivities } from './activities.ts';
import {
  type BatchInput,
  type Progress,
  SHARD_DRAINED_SIGNAL,
  type ShardDrained,
  type ShardInput,
  type ValidatedInput,
} from './contract.ts';
import type { Ending } from './ending.ts';
import { ASKS_SHARDS_TO_STOP, runShardWorkflow } from './shard-run.ts';

const shardDrained = defineSignal<[ShardDrained]>(SHARD_DRAINED_SIGNAL);
const CLOSING_AT_A_TIME = 8;
/** `shardStopTimeoutMs` of batches whose policy does not say. */
const SHARD_STOP_TIMEOUT_MS = 5 * 60_000;

/** The shards of a batch and what became of them. */
export interface ShardPool {
  /**
   * Works on up to `shardsPerRun` shards until they are closed, or until the batch ends. Then it waits for the open ones to
   * stop, but not for a shard that does not answer: `closeRest` closes that one, and it is terminated with the batch.
   */
  run(): Promise<void>;
  /** Closes the shards that are left, started or not; only for a batch that ends. */
  closeRest(): Promise<void>;
  /** How many shards are not closed yet. */
  readonly left: number;
  readonly pace: Pace;
  /** Counts of the closed shards, and the shards whose workflow runs. */
  progress(): Progress;
}

/**
 * Runs the shards of one batch as child workflows. A few hand out lines at a time; one that is about to run dry
 * makes room for the next, so that stragglers never leave the upstream idle. A shard that ends without being closed, for
 * whatever reason, is started again.
 */
export function createShardPool(
  input: BatchInput,
  plan: Extract<ValidatedInput, { verdict: 'accepted' }>,
  { resumed, ending, onChange }: { resumed: boolean; ending: Ending; onChange: () => void },
): ShardPool {
  const { tenant, batchId, endpoint, inputFileId, expiresAtMs } = input;
  const policy = { ...input.policy, linesPerActivity: plan.linesPerActivity ?? input.policy.linesPerActivity };
  const alreadyClosed = new Set(plan.closed);
  const unclosed = new Map(plan.shards.filter(({ shard }) => !alreadyClosed.has(shard)).map((range) => [range.shard, range]));
  const handOutAtOnce = Math.max(1, Math.min(shardsHandingOut(policy.maxInFlight), unclosed.size));
  const handingOut = new Set<number>();
  const open = new Set<number>();
  let { completed, failed } = plan;
  const { batchesRunning, room } = plan;
  const { maxInFlight } = policy;
  let pace = input.pace ?? (batchesRunning === undefined ? INITIAL_PACE : firstPace({ batchesRunning, maxInFlight, room }));

  setHandler(shardDrained, (drained) => {
    handingOut.delete(drained.shard);
    pace = drained.pace;
    onChange();
  });

  function book(range: ShardRange, counts: { completed: number; failed: number }): void {
    if (!unclosed.delete(range.shard)) return;
    completed += counts.completed;
    failed += counts.failed;
    onChange();
  }

  function shardInput(range: ShardRange, shardsHandingOut: number, mayHavePieces: boolean): ShardInput {
    const { upstream } = plan;
    const common = { tenant, batchId, endpoint, inputFileId, upstream, expiresAtMs };
    const urgency = input.urgentFromMs === undefined ? {} : { urgentFromMs: input.urgentFromMs };
    return { ...common, ...urgency, policy, range, pace, shardsHandingOut, sizing: SIZING, resumed: mayHavePieces };
  }

  async function keepRunning(range: ShardRange, shardsHandingOut: number, mayHavePieces: boolean): Promise<void> {
    const goOn = (): boolean => unclosed.has(range.shard) && ending.reason === null;
    for (let runs = 0, failures = 0; goOn(); runs++) {
      open.add(range.shard);
      handingOut.add(range.shard);
      const end = await runShardWorkflow(shardInput(range, shardsHandingOut, mayHavePieces || runs > 0), ending);
      open.delete(range.shard);
      handingOut.delete(range.shard);
      if (end !== null) pace = end.pace;
      if (end?.closed) book(range, end);
      failures = end === null ? failures + 1 : 0;
      if (goOn()) await ending.orNull(() => sleep(backoffMs(failures)));
    }
  }

  /** Returns when `isDone`, or when the batch has ended and its shards have had the time that they get to stop. */
  async function doneOrGivenUp(isDone: () => boolean): Promise<void> {
    await condition(() => isDone() || ending.reason !== null);
    if (isDone()) return;
    const { cancelGraceMs, shardStopTimeoutMs = SHARD_STOP_TIMEOUT_MS } = policy;
    await (patched(ASKS_SHARDS_TO_STOP) ? condition(isDone, cancelGraceMs + shardStopTimeoutMs) : condition(isDone));
  }

  return {
    async run() {
      const running: Promise<void>[] = [];
      const shards = [...unclosed.values()].slice(0, policy.shardsPerRun);
      for (const [index, range] of shards.entries()) {
        await condition(() => ending.reason !== null || (handingOut.size < handOutAtOnce && open.size < policy.maxOpenShards));
        if (ending.reason !== null) break;
        // The last ones have the lead to themselves: nobody comes after them who would fill it.
        const handingOutWithIt = Math.min(handOutAtOnce, shards.length - index);
        // Only the first ones can have been open when an earlier run of this batch ended.
        running.push(keepRunning(range, handingOutWithIt, resumed && index < policy.maxOpenShards));
        onChange();
      }
      let isDone = false;
      const all = Promise.all(running).then(() => {
        isDone = true;
      });
      await Promise.race([all, doneOrGivenUp(() => isDone)]);
    },

    async closeRest() {
      const rest = [...unclosed.values()].values();
      async function closeLane(): Promise<void> {
        for (const range of rest) {
          for (let tries = 0; unclosed.has(range.shard); tries++) {
            if (tries > 0) await sleep(backoffMs(tries));
            const closed = await longActivities(policy).closeShard({ tenant, batchId, inputFileId, range });
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
    get pace() {
      return pace;
    },
    // A shard that was given up may still run: once the batch has closed it, it counts no more by itself.
    progress: () => ({ completed, failed, openShards: [...open].filter((shard) => unclosed.has(shard)) }),
  };
}

function backoffMs(failures: number): number {
  return Math.min(30_000, 1_000 * 2 ** failures);
}
