import type { PieceStore } from '../storage/piece-store.ts';
import type { Metrics } from './metrics.ts';

/** The same pieces, with the lines counted that get an outcome. A line that two attempts answered counts twice: both were paid for. */
export function watchPieceStore(store: PieceStore, metrics: Pick<Metrics, 'linesEnded' | 'pieceStored'>): PieceStore {
  return {
    ...store,

    async putPiece(at, results) {
      await store.putPiece(at, results);
      metrics.pieceStored();
      const completed = results.filter(({ outcome }) => outcome === 'completed').length;
      if (completed > 0) metrics.linesEnded('completed', completed);
      if (completed < results.length) metrics.linesEnded('failed', results.length - completed);
    },

    async createShardResult(batchId, result) {
      const standing = await store.createShardResult(batchId, result);
      if (standing.notRun > 0) metrics.linesEnded('not_run', standing.notRun);
      return standing;
    },
  };
}
