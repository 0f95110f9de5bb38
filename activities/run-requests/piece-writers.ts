import type { PieceStore } from '../../src/storage/piece-store.ts';
import type { PieceWriter, WritingSlice } from './piece-writer.ts';
import { ShardWriter } from './shard-writer.ts';

/** The writers of a process: one per shard, which all slices of that shard use. */
export interface PieceWriters {
  open(shard: { batchId: string; shard: number }, slice: WritingSlice): PieceWriter;
}

/**
 * Gathers the results of all slices of a shard that run here, so that writes to the bucket do not grow with the number of slices. Writers
 * have a name that no other has, because two may store results of one line.
 */
export function createPieceWriters({
  pieces,
  monotonicMs,
  randomHex,
}: {
  pieces: Pick<PieceStore, 'putPiece'>;
  monotonicMs: () => number;
  randomHex: (digits: number) => string;
}): PieceWriters {
  const writers = new Map<string, ShardWriter>();

  function writerOf(batchId: string, shard: number): ShardWriter {
    const key = `${batchId}/${shard}`;
    const found = writers.get(key);
    if (found !== undefined) return found;
    const name = randomHex(16);
    const writer = new ShardWriter({
      put: async (piece, results) => await pieces.putPiece({ batchId, shard, writer: name, piece }, results),
      monotonicMs,
      onIdle: () => writers.delete(key),
    });
    writers.set(key, writer);
    return writer;
  }

  return { open: ({ batchId, shard }, slice) => writerOf(batchId, shard).open(slice) };
}
