import type { PieceStore } from '../../src/storage/piece-store.ts';

/** Which lines of a shard have an outcome in a piece, and which; completed counts before failed. */
export type StoredOutcomes = ReadonlyMap<number, 'completed' | 'failed'>;

/** Reads what the pieces of a shard hold; never older than the call. */
export type PieceReader = (batchId: string, shard: number) => Promise<StoredOutcomes>;

/** Shards whose pieces a process reads at a time: each reading holds up to 32 pieces of 256 KiB. */
const READINGS_AT_A_TIME = 4;

interface Reading extends PromiseWithResolvers<StoredOutcomes> {
  readonly batchId: string;
  readonly shard: number;
}

/**
 * One for a process, because readings cost memory and GETs. All slices of a lost worker ask for the same shard at once: calls share
 * a reading that has not begun. They cannot share one that has, because it may have passed a piece that they need.
 */
export function createPieceReader(pieces: Pick<PieceStore, 'listPieceEntries'>): PieceReader {
  const running = new Set<string>();
  const waiting = new Map<string, Reading>();

  async function read({ batchId, shard }: Reading): Promise<StoredOutcomes> {
    const outcomes = new Map<number, 'completed' | 'failed'>();
    for await (const entries of pieces.listPieceEntries(batchId, shard)) {
      for (const { line, outcome } of entries) if (outcomes.get(line) !== 'completed') outcomes.set(line, outcome);
    }
    return outcomes;
  }

  function startNext(): void {
    for (const [key, reading] of waiting) {
      if (running.size >= READINGS_AT_A_TIME) return;
      if (running.has(key)) continue;
      waiting.delete(key);
      running.add(key);
      read(reading)
        .then(reading.resolve, reading.reject)
        .finally(() => {
          running.delete(key);
          startNext();
        });
    }
  }

  return (batchId, shard) => {
    const key = `${batchId}/${shard}`;
    const reading = waiting.get(key) ?? { batchId, shard, ...Promise.withResolvers<StoredOutcomes>() };
    waiting.set(key, reading);
    startNext();
    return reading.promise;
  };
}
