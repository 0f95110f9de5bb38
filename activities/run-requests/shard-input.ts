import { linesOfSlice, type PlannedLine } from '../../src/domain/plan.ts';
import type { RunRequestsInput } from '../../workflows/contract.ts';
import type { ActivityDeps } from '../deps.ts';
import { type PackedLines, packLines } from './packed-lines.ts';
import { createReadAhead, openSliceInput, type SliceInput } from './slice-input.ts';

/** 128 full blocks; those of short lines are smaller. */
const READ_AHEAD_BYTES = 32 * 1024 * 1024;
/** A thousand full shards with custom_ids of ten characters, so those of 250 large batches that hand out four each. */
const PLANS_BYTES = 32 * 1024 * 1024;

/** Plans of shards, kept for the next slice, and the input of slices. */
export interface ShardInputs {
  /** The requests of a slice, in the order of the file. Throws when the shard has no plan. */
  lines(slice: RunRequestsInput): Promise<PlannedLine[]>;
  open(slice: RunRequestsInput, lines: readonly PlannedLine[]): SliceInput;
}

/** What the slices of a process share. */
export function createShardInputs({
  files,
  pieces,
}: {
  files: Pick<ActivityDeps['files'], 'openContent'>;
  pieces: Pick<ActivityDeps['pieces'], 'getPlanShard'>;
}): ShardInputs {
  const plans = createPlanCache(PLANS_BYTES);
  const readAhead = createReadAhead(READ_AHEAD_BYTES);

  async function load(batchId: string, shard: number): Promise<PackedLines> {
    const plan = await pieces.getPlanShard(batchId, shard);
    if (plan === null) throw new Error(`shard ${shard} has no plan`);
    return packLines(plan.lines);
  }

  return {
    async lines(slice) {
      const { batchId, shard, firstLine, lastLine } = slice;
      const plan = await plans.get(`${batchId}/${shard}`, async () => await load(batchId, shard));
      return linesOfSlice({ lines: plan.between(firstLine, lastLine) }, slice);
    },
    open: (slice, lines) => openSliceInput(files, slice, { lines, readAhead }),
  };
}

/** Keeps the plans that were used last, up to `maxBytes`. Callers share a plan that is being loaded. A plan that could not be loaded is forgotten. */
function createPlanCache(maxBytes: number) {
  const entries = new Map<string, { plan: Promise<PackedLines>; bytes: number }>();
  let used = 0;

  function forget(key: string): void {
    used -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  async function put(key: string, plan: Promise<PackedLines>): Promise<PackedLines> {
    const entry = { plan, bytes: 0 };
    entries.set(key, entry);
    try {
      const { bytes } = await plan;
      if (entries.get(key) === entry) {
        entry.bytes = bytes;
        used += bytes;
        for (const oldest of entries.keys()) {
          if (used <= maxBytes) break;
          forget(oldest);
        }
      }
      return await plan;
    } catch (error) {
      if (entries.get(key) === entry) forget(key);
      throw error;
    }
  }

  return {
    async get(key: string, load: () => Promise<PackedLines>): Promise<PackedLines> {
      const entry = entries.get(key);
      if (entry === undefined) return await put(key, load());
      entries.delete(key);
      entries.set(key, entry);
      return await entry.plan;
    },
  };
}
