import type { PieceStore } from '../../src/storage/piece-store.ts';

/** Which lines of a shard have an outcome in a piece, and which; completed counts before failed. */
export type StoredOutcomes = ReadonlyMap<number, 'completed' | 'failed'>;

/**
 * Reads the pieces of a shard. Reading them is dear, and after a restart every slice of a shard wants it at once: those that
 * ask while one reading is under way share the next one, as the one under way may have passed by a piece that they need.
 */
export function createPieceReader(
  pieces: Pick<PieceStore, 'listPieceEntries'>,
): (batchId: string, shard: number) => Promise<StoredOutcomes> {
  const running = new Map<string, Promise<unknown>>();
  const next = new Map<string, Promise<StoredOutcomes>>();

  async function read(batchId: string, shard: number): Promise<StoredOutcomes> {
    const outcomes = new Map<number, 'completed' | 'failed'>();
    for await (const entries of pieces.listPieceEntries(batchId, shard)) {
      for (const { line, outcome } of entries) if (outcomes.get(line) !== 'completed') outcomes.set(line, outcome);
    }
    return outcomes;
  }

  function start(key: string, batchId: string, shard: number): Promise<StoredOutcomes> {
    const reading = read(batchId, shard).finally(() => running.delete(key));
    running.set(key, reading);
    return reading;
  }

  return (batchId, shard) => {
    const key = `${batchId}/${shard}`;
    const queued = next.get(key);
    if (queued !== undefined) return queued;
    const current = running.get(key);
    if (current === undefined) return start(key, batchId, shard);
    const shared = current
      .catch(() => undefined)
      .then(() => {
        next.delete(key);
        return start(key, batchId, shard);
      });
    next.set(key, shared);
    return shared;
  };
}
