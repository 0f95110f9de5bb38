import { MAX_SHARDS } from '../src/domain/limits.ts';
import { createPlanner, type PlanNonce, type PlannedLine, type PlanSegment, type ShardPlan, type ShardRange } from '../src/domain/plan.ts';
import type { ValidatedPart } from './plan-segments.ts';
import type { PieceStore } from '../src/storage/piece-store.ts';

/** Shards of a plan on their way to the bucket at a time. */
const WRITES_AT_A_TIME = 4;

/** Cuts lines into shards and writes each as soon as it is cut, so that a plan never lies in memory as a whole. */
export interface PlanWriter {
  /**
   * False when a plan may not have so many shards. Answers a promise where a shard is to be written; it waits while four are on
   * their way, and throws what a write threw.
   */
  add(line: PlannedLine): Promise<boolean> | boolean;
  /** Writes the last shard, waits for all, and answers what the head of the plan lists. */
  end(): Promise<{ nonces: PlanNonce[]; shards: ShardRange[] }>;
  /** Shards that are cut. */
  readonly shards: number;
  /** Waits until all shards that are cut are in the bucket. */
  settle(): Promise<void>;
  /** What a segment holds of the plan, with the shards from this number on. */
  state(firstShard: number): Pick<PlanSegment, 'nonces' | 'shards' | 'pending'>;
}

/** Harmless a second time: each run has a nonce of its own, and what no head names nobody reads. */
export function createPlanWriter(
  pieces: Pick<PieceStore, 'putPlanShard'>,
  at: { batchId: string; nonce: string },
  { from = null, maxShards = MAX_SHARDS }: { from?: ValidatedPart | null; maxShards?: number } = {},
): PlanWriter {
  const ranges: ShardRange[] = [...(from?.shards ?? [])];
  const planner = createPlanner({ from: { shard: ranges.length, pending: from?.last.pending ?? [] } });
  const nonces: PlanNonce[] = [...(from?.last.nonces ?? []), { firstShard: ranges.length, nonce: at.nonce }];
  const writing = new Set<Promise<void>>();
  const failures: unknown[] = [];

  async function write(plan: ShardPlan): Promise<void> {
    const { lines: _, ...range } = plan;
    ranges.push(range);
    if (writing.size >= WRITES_AT_A_TIME) await Promise.race(writing);
    throwFailure();
    const written: Promise<void> = pieces
      .putPlanShard(at, plan)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => writing.delete(written));
    writing.add(written);
  }

  function throwFailure(): void {
    if (failures.length > 0) throw failures[0];
  }

  async function settle(): Promise<void> {
    await Promise.all(writing);
    throwFailure();
  }

  return {
    settle,
    get shards() {
      return ranges.length;
    },
    state: (firstShard) => ({ nonces, shards: ranges.slice(firstShard), pending: [...planner.pending] }),
    add(line) {
      const full = planner.add(line);
      if (full === null) return true;
      // The line has begun one more.
      return ranges.length + 1 < maxShards && write(full).then(() => true);
    },
    async end() {
      const last = planner.end();
      if (last !== null) await write(last);
      await settle();
      return { nonces, shards: ranges };
    },
  };
}
