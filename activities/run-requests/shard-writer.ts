import { ObjectStoreError } from '../../src/domain/object-store-error.ts';
import { setTimeout as delay } from 'node:timers/promises';
import type { LineResult } from '../../src/domain/piece.ts';
import { type Gathered, type PieceWriter, type SharedWriter, SliceWriter, type WritingSlice } from './piece-writer.ts';

/** Results wait at most this long for others. */
const GATHER_MS = 1_000;
/** So many bytes make a piece at once. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** Full pieces under way at a time: large answers come faster than one write after the other stores them. */
const FULL_PIECES_AT_A_TIME = 4;
/** A piece that has waited longer for the bucket holds back what is not sent yet. */
const LATE_MS = 2_000;
const RETRY_MS = 500;
const MAX_RETRY_MS = 5_000;

/**
 * Gathers results of the slices of one shard. A piece goes out when
 * - a result has waited a second,
 * - a slice of n lines ends and no piece has begun for a second ÷ n: a slice of one line shares its piece with others, while many lines
 *   have one of their own and need not wait. The second becomes half of the time that the slice took once half of the slices wait:
 *   Temporal gives this worker only so many, and those that wait for their piece send nothing,
 * - no slice is left that may add results, or
 * - it is full.
 *
 * `put` stores piece number so-and-so, from 1. After an `ObjectStoreError` it is tried again, with the same bytes under the same key,
 * until all slices with results in it have given up: an answer that has been paid for is not thrown away because the bucket is away.
 */
export class ShardWriter implements SharedWriter {
  readonly #put: (piece: number, results: readonly LineResult[]) => Promise<void>;
  readonly #monotonicMs: () => number;
  readonly #onIdle: () => void;
  readonly #slices = new Set<SliceWriter>();
  /** Slices that may still add results. */
  #expected = 0;
  // Thousands wait here at a time: a promise for each would weigh more than the results.
  #gathered: Gathered[] = [];
  #gatheredBytes = 0;
  #isDue = false;
  #timer: { dueMs: number; timeout: NodeJS.Timeout } | null = null;
  #lastPieceMs = -Infinity;
  #pieces = 0;
  readonly #underWay = new Set<{ sinceMs: number; arrived: Promise<void> }>();
  #retryNow = new AbortController();

  constructor(given: {
    put: (piece: number, results: readonly LineResult[]) => Promise<void>;
    monotonicMs: () => number;
    /** Called when no slice uses the writer and nothing is left to be stored. */
    onIdle: () => void;
  }) {
    this.#put = given.put;
    this.#monotonicMs = given.monotonicMs;
    this.#onIdle = given.onIdle;
  }

  open(slice: WritingSlice): PieceWriter {
    const writer = new SliceWriter(this, slice, this.#monotonicMs());
    this.#slices.add(writer);
    this.#expected += 1;
    return writer;
  }

  add(gathered: Gathered): void {
    this.#gathered.push(gathered);
    this.#gatheredBytes += gathered.result.resultLine.length;
    this.#beDueIn(GATHER_MS);
    this.#write();
  }

  flush(): void {
    this.#isDue = true;
    this.#write();
  }

  endSlice({ lines, openedMs }: { lines: number; openedMs: number }): void {
    this.#expected -= 1;
    if (this.#expected === 0) this.flush();
    if (this.#gathered.length === 0) return;
    const nowMs = this.#monotonicMs();
    const waiting = [...this.#slices].filter(({ isWaiting }) => isWaiting).length;
    const gatherMs = waiting >= this.#expected ? Math.min(GATHER_MS, (nowMs - openedMs) / 2) : GATHER_MS;
    this.#beDueIn(this.#lastPieceMs + gatherMs / lines - nowMs);
  }

  leave(slice: SliceWriter): void {
    this.#slices.delete(slice);
    this.#endIfIdle();
  }

  giveUp(): void {
    this.#retryNow.abort();
    this.#retryNow = new AbortController();
    this.flush();
  }

  get isLate(): boolean {
    const [oldest] = this.#underWay;
    return oldest !== undefined && this.#monotonicMs() - oldest.sinceMs >= LATE_MS;
  }

  async arrival(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const [oldest] = this.#underWay;
    if (oldest === undefined) return;
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    try {
      await Promise.race([oldest.arrived, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #beDueIn(ms: number): void {
    if (ms <= 0) return this.flush();
    const dueMs = this.#monotonicMs() + ms;
    if (this.#timer !== null && this.#timer.dueMs <= dueMs) return;
    this.#stopTimer();
    this.#timer = { dueMs, timeout: setTimeout(() => this.flush(), ms) };
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer.timeout);
    this.#timer = null;
  }

  #write(): void {
    while (this.#gathered.length > 0) {
      const isFull = this.#gatheredBytes >= PIECE_BYTES;
      const mayGo = this.#underWay.size === 0 ? isFull || this.#isDue : isFull && this.#underWay.size < FULL_PIECES_AT_A_TIME;
      if (!mayGo) return;
      this.#send(this.#takePiece());
    }
    this.#isDue = false;
    this.#stopTimer();
  }

  #takePiece(): Gathered[] {
    let [count, bytes] = [0, 0];
    for (const { result } of this.#gathered) {
      if (bytes >= PIECE_BYTES) break;
      bytes += result.resultLine.length;
      count += 1;
    }
    this.#gatheredBytes -= bytes;
    return this.#gathered.splice(0, count);
  }

  #send(piece: readonly Gathered[]): void {
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    this.#lastPieceMs = this.#monotonicMs();
    const sending = { sinceMs: this.#lastPieceMs, arrived };
    this.#underWay.add(sending);
    void this.#putUntilStored(++this.#pieces, piece).then((failure) => {
      for (const { result, settled, owner } of piece) {
        settled(result, failure === null);
        owner.settle(failure);
      }
      this.#underWay.delete(sending);
      arrive();
      this.#write();
      this.#endIfIdle();
    });
  }

  /** Answers why the piece was given up; null when it is stored. */
  async #putUntilStored(number: number, piece: readonly Gathered[]): Promise<{ error: unknown } | null> {
    const results = piece.map(({ result }) => result);
    const owners = new Set(piece.map(({ owner }) => owner));
    for (let retryMs = RETRY_MS; ; retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)) {
      try {
        await this.#put(number, results);
        return null;
      } catch (error) {
        const failure = { error };
        // They need not wait for the others, and what they have gathered may be stored all the same.
        for (const slice of this.#slices) if (slice.hasGivenUp) slice.fail(failure);
        const isTransient = error instanceof ObjectStoreError;
        if (!isTransient || [...owners].every(({ hasGivenUp }) => hasGivenUp)) return failure;
        await delay(retryMs, undefined, { signal: this.#retryNow.signal }).catch(() => undefined);
      }
    }
  }

  #endIfIdle(): void {
    if (this.#slices.size === 0 && this.#gathered.length === 0 && this.#underWay.size === 0) this.#onIdle();
  }
}
