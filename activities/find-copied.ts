import { locateLines } from '../src/domain/closed-lines.ts';
import { type PieceEntry, takeOutcome } from '../src/domain/piece.ts';
import type { PlanHead, PlannedLine, ShardPlan } from '../src/domain/plan.ts';
import type { PieceStore } from '../src/storage/piece-store.ts';

/** Shards that are read at a time. */
const SHARDS_AT_A_TIME = 8;

/**
 * Finds the answers of the lines of a shard that are copies of earlier ones: entries with the line of the copy and the place of the earlier
 * line's result. A copy whose answer is not known yet is left out. `decided` are the outcomes of the shard's other lines.
 */
export type FindCopied = (
  batchId: string,
  plan: ShardPlan,
  decided: ReadonlyMap<number, PieceEntry>,
  options: { isEnding: boolean },
) => Promise<Map<number, PieceEntry>>;

export function createFindCopied(pieces: Pick<PieceStore, 'getPlanHead' | 'getShardResult' | 'listPieceEntries'>): FindCopied {
  return async (batchId, plan, decided, { isEnding }) => {
    const copies = plan.lines.filter(({ copyOf }) => copyOf !== undefined);
    const copied = new Map<number, PieceEntry>();
    if (copies.length === 0) return copied;
    const take = ({ line, copyOf = 0 }: PlannedLine, known: ReadonlyMap<number, PieceEntry>) => {
      const found = known.get(copyOf);
      // Sent once, so it is counted once.
      if (found !== undefined) copied.set(line, { ...found, line, usage: null, attempts: 0, milliseconds: null });
    };
    const inside = copies.filter(({ copyOf = 0 }) => copyOf >= plan.firstLine);
    for (const copy of inside) take(copy, decided);
    const outside = copies.filter(({ copyOf = 0 }) => copyOf < plan.firstLine);
    if (outside.length === 0) return copied;

    const head = await pieces.getPlanHead(batchId);
    const byShard = [...Map.groupBy(outside, ({ copyOf = 0 }) => shardOf(head, copyOf))];
    for (let at = 0; at < byShard.length; at += SHARDS_AT_A_TIME) {
      const some = byShard.slice(at, at + SHARDS_AT_A_TIME);
      const known = await Promise.all(some.map(async ([shard]) => await answersOf(batchId, shard, isEnding)));
      for (const [index, [, lines]] of some.entries()) for (const copy of lines) take(copy, known[index] ?? new Map());
    }
    return copied;
  };

  /**
   * The answers of a shard that cannot change any more: all if it is closed, else the completed ones. When the batch ends, the others
   * count too: no line of the shard is sent again.
   */
  async function answersOf(batchId: string, shard: number, isEnding: boolean): Promise<Map<number, PieceEntry>> {
    const result = await pieces.getShardResult(batchId, shard);
    if (result !== null) {
      const at = (object: { key: string } | null) => ({ key: object?.key ?? '', offset: 0 });
      const located = locateLines(result.lines, { output: at(result.output), error: at(result.error) });
      return new Map(
        located.flatMap(({ outcome, ...known }) =>
          outcome === 'completed' || outcome === 'failed' ? [[known.line, { ...known, outcome }] as const] : [],
        ),
      );
    }
    const outcomes = new Map<number, PieceEntry>();
    for await (const entries of pieces.listPieceEntries(batchId, shard)) for (const entry of entries) takeOutcome(outcomes, entry);
    return new Map([...outcomes].filter(([, { outcome }]) => isEnding || outcome === 'completed'));
  }
}

function shardOf(head: PlanHead | null, line: number): number {
  const found =
    head?.verdict === 'accepted' ? head.shards.find(({ firstLine, lastLine }) => line >= firstLine && line <= lastLine) : undefined;
  if (found === undefined) throw new Error(`line ${line} is in no shard of the plan`);
  return found.shard;
}
