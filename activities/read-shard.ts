import { lineRanges } from '../src/domain/line-ranges.ts';
import { upstreamOf } from '../src/domain/plan.ts';
import type { PieceStore } from '../src/storage/piece-store.ts';
import type { ReadShardInput, ShardLines } from '../workflows/contract.ts';

/** Says which lines of a shard go to which of its upstreams. Reads only, so it can be run any number of times. */
export function createReadShard({ pieces }: { pieces: Pick<PieceStore, 'getPlanShard'> }) {
  return async function readShard({ batchId, shard }: ReadShardInput): Promise<ShardLines> {
    const plan = await pieces.getPlanShard(batchId, shard);
    if (plan === null) throw new Error(`shard ${shard} has no plan`);
    const byUpstream = Map.groupBy(plan.lines, upstreamOf);
    return [...byUpstream].map(([upstream, lines]) => ({ upstream, lines: lineRanges(lines.map(({ line }) => line)) }));
  };
}
