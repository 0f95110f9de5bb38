import { setTimeout as delay } from 'node:timers/promises';
import type { LineResult } from '../../src/domain/piece.ts';

/** Results wait this long for company. */
const GATHER_MS = 1_000;
const PIECE_BYTES = 4 * 1024 * 1024;
/** A piece that has waited longer for the bucket holds back what is not sent yet. */
const LATE_MS = 2_000;
const RETRY_MS = 500;
const MAX_RETRY_MS = 5_000;

type Settled = (result: LineResult, isStored: boolean) => void;

/** Gathers results into pieces, one on its way to the bucket at a time. */
export interface PieceWriter {
  /** `settled` hears whether the result lies in the bucket, or that was given up. */
  add(result: LineResult, settled: Settled): void;
  /** What is gathered goes out at once. */
  flush(): void;
  /** Nothing more is expected: resolves when all results lie in the bucket; rejects when that was given up for one. */
  end(): Promise<void>;
  /** Whether a piece has waited too long for the bucket. */
  readonly isLate: boolean;
  /** Resolves when the piece that is under way has arrived; rejects with the signal's reason when it ends first. */
  arrival(signal: AbortSignal): Promise<void>;
}

/**
 * `put` stores piece number so-and-so, from 1; an `ObjectStoreError` is tried again, with the same bytes under the same key,
 * until `giveUp`. An answer that has been paid for is not thrown away because the bucket is away for a while.
 */
export function createPieceWriter(given: {
  put: (piece: number, results: readonly LineResult[]) => Promise<void>;
  monotonicMs: () => number;
  giveUp: AbortSignal;
}): PieceWriter {
  const { put, monotonicMs, giveUp } = given;
  // Thousands wait here at a time: a promise for each would weigh more than the results.
  let gathered: { result: LineResult; settled: Settled }[] = [];
  let gatheredBytes = 0;
  let timer: NodeJS.Timeout | null = null;
  let pieces = 0;
  let isDue = false;
  let underWay: { sinceMs: number; arrived: Promise<void> } | null = null;
  const failures: unknown[] = [];

  async function putUntilStored(piece: number, results: readonly LineResult[]): Promise<void> {
    for (let retryMs = RETRY_MS; ; retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)) {
      try {
        return await put(piece, results);
      } catch (error) {
        const mayPass = error instanceof Error && error.name === 'ObjectStoreError';
        if (!mayPass || giveUp.aborted) throw error;
        // Waking up early is fine: the last try comes right after.
        await delay(retryMs, undefined, { signal: giveUp }).catch(() => undefined);
      }
    }
  }

  function write(): void {
    if (underWay !== null || gathered.length === 0 || !(isDue || gatheredBytes >= PIECE_BYTES)) return;
    if (timer !== null) clearTimeout(timer);
    timer = null;
    isDue = false;
    const batch = gathered;
    gathered = [];
    gatheredBytes = 0;
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    underWay = { sinceMs: monotonicMs(), arrived };
    putUntilStored(
      ++pieces,
      batch.map(({ result }) => result),
    )
      .then(
        () => batch.forEach(({ result, settled }) => settled(result, true)),
        (error: unknown) => {
          failures.push(error);
          batch.forEach(({ result, settled }) => settled(result, false));
        },
      )
      .finally(() => {
        underWay = null;
        arrive();
        write();
      });
  }

  function flush(): void {
    isDue = true;
    write();
  }

  return {
    add(result, settled) {
      gathered.push({ result, settled });
      gatheredBytes += result.resultLine.length;
      timer ??= setTimeout(flush, GATHER_MS);
      write();
    },
    flush,
    async end() {
      flush();
      while (underWay !== null) await underWay.arrived;
      if (failures.length > 0) throw failures[0];
    },
    get isLate() {
      return underWay !== null && monotonicMs() - underWay.sinceMs >= LATE_MS;
    },
    async arrival(signal) {
      signal.throwIfAborted();
      if (underWay === null) return;
      const { promise: stopped, reject } = Promise.withResolvers<never>();
      const stop = () => reject(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
      try {
        await Promise.race([underWay.arrived, stopped]);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    },
  };
}
