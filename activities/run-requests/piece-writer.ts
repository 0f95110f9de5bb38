import type { LineResult } from '../../src/domain/piece.ts';

/** `isStored` is false if the writer gave up. */
export type Settled = (result: LineResult, isStored: boolean) => void;

/** The results of one slice on their way into pieces, which they share with results of other slices of the shard. */
export interface PieceWriter extends Disposable {
  /** Calls `settled` when the result is in the bucket, or when the writer has given up. */
  add(result: LineResult, settled: Settled): void;
  /** Sends what is gathered at once. */
  flush(): void;
  /** Nothing more is expected of this slice: resolves when all its results are in the bucket; rejects when it gave up on one. */
  end(): Promise<void>;
  /** Whether a piece has waited too long for the bucket. */
  readonly isLate: boolean;
  /** Whether the slice has had results, which may be stored whatever becomes of the slice. */
  readonly hasResults: boolean;
  /** Resolves when the piece that has been under way longest has arrived; rejects with the signal's reason when it ends first. */
  arrival(signal: AbortSignal): Promise<void>;
}

/** A slice that stores results. */
export interface WritingSlice {
  /** Its requests. */
  lines: number;
  /** Raised when what is not stored by now is lost for this slice. */
  giveUp: AbortSignal;
}

/** A result that waits for its piece. */
export interface Gathered {
  result: LineResult;
  settled: Settled;
  owner: SliceWriter;
}

/** What a slice needs of the writer of its shard. */
export interface SharedWriter {
  add(gathered: Gathered): void;
  flush(): void;
  /** A slice of so many lines, opened at this time, adds nothing more. */
  endSlice(slice: { lines: number; openedMs: number }): void;
  leave(slice: SliceWriter): void;
  /** A slice has given up: the next try is its last. */
  giveUp(): void;
  readonly isLate: boolean;
  arrival(signal: AbortSignal): Promise<void>;
}

/** The part that one slice has in the writer of its shard. */
export class SliceWriter implements PieceWriter {
  readonly #shard: SharedWriter;
  readonly #slice: WritingSlice;
  readonly #openedMs: number;
  readonly #done = Promise.withResolvers<void>();
  #unsettled = 0;
  #failure: { error: unknown } | null = null;
  #isEnding = false;
  #hasLeft = false;
  hasResults = false;

  constructor(shard: SharedWriter, slice: WritingSlice, openedMs: number) {
    this.#shard = shard;
    this.#openedMs = openedMs;
    this.#slice = slice;
    slice.giveUp.addEventListener('abort', this.#onGiveUp);
  }

  add(result: LineResult, settled: Settled): void {
    this.hasResults = true;
    this.#unsettled += 1;
    this.#shard.add({ result, settled, owner: this });
  }

  flush(): void {
    this.#shard.flush();
  }

  async end(): Promise<void> {
    this.#endOnce();
    if (this.#unsettled > 0 && this.#failure === null) await this.#done.promise;
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** One more result is stored, or lost. */
  settle(failure: { error: unknown } | null): void {
    if (failure !== null) this.fail(failure);
    this.#unsettled -= 1;
    if (this.#unsettled === 0 && this.#isEnding) this.#done.resolve();
  }

  fail(failure: { error: unknown }): void {
    if (this.#unsettled === 0) return;
    this.#failure ??= failure;
    this.#done.resolve();
  }

  /** Whether it has ended but for its pieces. */
  get isWaiting(): boolean {
    return this.#isEnding && this.#unsettled > 0;
  }

  get hasGivenUp(): boolean {
    return this.#hasLeft || this.#slice.giveUp.aborted;
  }

  get isLate(): boolean {
    return this.#shard.isLate;
  }

  arrival(signal: AbortSignal): Promise<void> {
    return this.#shard.arrival(signal);
  }

  [Symbol.dispose](): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#slice.giveUp.removeEventListener('abort', this.#onGiveUp);
    this.#endOnce();
    this.#shard.leave(this);
  }

  #endOnce(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#shard.endSlice({ lines: this.#slice.lines, openedMs: this.#openedMs });
  }

  readonly #onGiveUp = (): void => this.#shard.giveUp();
}
