import { lineRanges } from '../src/domain/line-ranges.ts';
import type { ListStoredInput, StoredLines } from '../workflows/contract.ts';
import { startBeating } from './beating.ts';
import type { PieceReader } from './run-requests/shard-pieces.ts';

/**
 * Lists the pieces of a shard once, so that a shard that begins again hands out only lines without an outcome. Reads only. What a
 * worker of the earlier run stores later is sent twice, and `closeShard` decides.
 */
export function createListStored({ readPieces }: { readPieces: PieceReader }) {
  return async function listStored({ batchId, shard }: ListStoredInput): Promise<StoredLines> {
    using _beating = startBeating(() => ({ shard }));
    const outcomes = [...(await readPieces(batchId, shard))].sort(([a], [b]) => a - b);
    const linesOf = (wanted: 'completed' | 'failed') =>
      lineRanges(outcomes.flatMap(([line, outcome]) => (outcome === wanted ? [line] : [])));
    return { completed: linesOf('completed'), failed: linesOf('failed') };
  };
}
