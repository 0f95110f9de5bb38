import type { PlannedLine, ShardPlan } from '../../src/domain/plan.ts';
import type { ActivityDeps } from '../deps.ts';
import { readInput } from '../read-input.ts';

/** Four shards that hand out lines, of 8 MiB each. */
const CACHE_BYTES = 32 * 1024 * 1024;
/** Shards of which a single line was read. */
const SHARDS_REMEMBERED = 256;
/** What a line of a plan weighs in memory. */
const PLANNED_LINE_BYTES = 100;

/** Plans and input bytes of shards, kept for the next slice while there is room, and for as long as there is likely to be one. */
export interface ShardInputs {
  plan(batchId: string, shard: number): Promise<ShardPlan>;
  /**
   * A reader for the lines of a slice. Several lines take the shard as a whole into the cache, and so does the second single line
   * of a shard: more will follow. The first one reads its own range.
   */
  reader(
    input: { tenant: string; batchId: string; inputFileId: string },
    plan: ShardPlan,
    lines: readonly PlannedLine[],
  ): (line: PlannedLine) => Promise<Buffer>;
}

/** An empty cache. */
export function createShardInputs({
  files,
  pieces,
  inputCacheBytes = CACHE_BYTES,
}: {
  files: Pick<ActivityDeps['files'], 'openContent'>;
  pieces: Pick<ActivityDeps['pieces'], 'getPlanShard'>;
} & Pick<ActivityDeps, 'inputCacheBytes'>): ShardInputs {
  const plans = createCache<ShardPlan>(inputCacheBytes / 8);
  const shards = createCache<Buffer>(inputCacheBytes);
  const readOnce = new Set<string>();

  /** Whether a line of the shard was read before; of the latest shards only. */
  function isReadAgain(key: string): boolean {
    if (readOnce.delete(key)) return true;
    readOnce.add(key);
    for (const oldest of readOnce) {
      if (readOnce.size <= SHARDS_REMEMBERED) break;
      readOnce.delete(oldest);
    }
    return false;
  }

  async function loadPlan(batchId: string, shard: number): Promise<ShardPlan> {
    const plan = await pieces.getPlanShard(batchId, shard);
    if (plan === null) throw new Error(`shard ${shard} has no plan`);
    return plan;
  }

  return {
    plan: (batchId, shard) =>
      plans.get(`${batchId}/${shard}`) ??
      plans.put(`${batchId}/${shard}`, loadPlan(batchId, shard), (plan) => plan.lines.length * PLANNED_LINE_BYTES),

    reader(input, plan, lines) {
      const key = `${input.batchId}/${plan.shard}`;
      const offset = plan.lines[0]?.offset ?? 0;
      const last = plan.lines.at(-1);
      const length = last === undefined ? 0 : last.offset + last.length - offset;
      const load = () => shards.put(key, readInput(files, input, { offset, length }), () => length);
      const whole = shards.get(key) ?? (lines.length > 1 || isReadAgain(key) ? load() : null);
      // Nobody may come to read it; then nobody needs to hear that it failed.
      whole?.catch(() => undefined);
      // Lines are handed out in order: after the last one only those come back that failed.
      if (lines.at(-1) === last) shards.forget(key);
      return async (line) => {
        if (whole === null) return await readInput(files, input, line);
        const start = line.offset - offset;
        return (await whole).subarray(start, start + line.length);
      };
    },
  };
}

interface Cache<T> {
  get(key: string): Promise<T> | null;
  put(key: string, value: Promise<T>, bytesOf: (value: T) => number): Promise<T>;
  forget(key: string): void;
}

/** Keeps what was used last, up to so many bytes. What could not be loaded is forgotten; what is being loaded is shared. */
function createCache<T>(maxBytes: number): Cache<T> {
  const entries = new Map<string, { value: Promise<T>; bytes: number }>();
  let used = 0;

  function forget(key: string): void {
    used -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  return {
    forget,
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return null;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    async put(key, value, bytesOf) {
      const entry = { value, bytes: 0 };
      entries.set(key, entry);
      try {
        const loaded = await value;
        if (entries.get(key) !== entry) return loaded;
        entry.bytes = bytesOf(loaded);
        used += entry.bytes;
        for (const oldest of entries.keys()) {
          if (used <= maxBytes) break;
          forget(oldest);
        }
        return loaded;
      } catch (error) {
        if (entries.get(key) === entry) forget(key);
        throw error;
      }
    },
  };
}
