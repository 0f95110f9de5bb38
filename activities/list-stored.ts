import { lineRanges } from '../src/domain/line-ranges.ts';
import type { ListStoredInput, StoredLines } from '../workflows/contract.ts';
import { startHeartbeat } from './heartbeat.ts';
import type { RecordCounts } from './record-counts.ts';
import type { PieceReader } from './run-requests/shard-pieces.ts';

/**
 * Lists the pieces of a shard once, so that a shard that begins again hands out only lines without an outcome. Reads only. What a
 * worker of the earlier run stores later is sent twice, and `closeShard` decides.
 */
export function createListStored({ readPieces, recordCounts }: { readPieces: PieceReader; recordCounts: RecordCounts }) {
  return async function listStored({ tenant, batchId, shard }: ListStoredInput): Promise<StoredLines> {
    using _heartbeat = startHeartbeat(() => ({ shard }));
    const outcomes = [...(await readPieces(batchId, shard))].sort(([a], [b]) => a - b);
    using counted = recordCounts.enter({ tenant, batchId }, shard);
    // A lost worker may have had no time to tell what it stored.
    for (const [line, outcome] of outcomes) if (outcome === 'completed') counted.add(line, outcome);
    const linesOf = (wanted: 'completed' | 'failed') =>
      lineRanges(outcomes.flatMap(([line, outcome]) => (outcome === wanted ? [line] : [])));
    return { completed: linesOf('completed'), failed: linesOf('failed') };
  };
}
