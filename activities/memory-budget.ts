import { createWaitingLine } from '../src/async/waiting-line.ts';

/** What an answer is thought to weigh before the first one has come. */
const FIRST_GUESS_BYTES = 16 * 1024;
/** Each answer moves the guess by this part of the difference. */
const LEARNING = 1 / 16;

/**
 * Bytes that may be in memory at a time, handed out in the order of asking. A caller that asks for more than there is gets it
 * alone, so every caller gets its turn.
 */
export interface MemoryBudget {
  /** Waits until there is capacity for the bytes of a body and those of a usual answer; rejects with the signal's reason when it ends first. */
  reserve(bodyBytes: number, signal: AbortSignal): Promise<Lease>;
  /** Gives back what a lease was exchanged for. */
  release(answerBytes: number): void;
  readonly used: number;
  /** Whether a request or an answer waits: then nothing is to be held longer than need be. */
  readonly isCrowded: boolean;
  /** Whether more than half is used. */
  readonly isHalfUsed: boolean;
}

/** Reserved memory, until released or exchanged. */
export interface Lease {
  /**
   * So many bytes of the answer have arrived. They count at once. Over budget it answers a promise, which resolves when more may be
   * read; one lease at a time is let through whatever is used, so that its answer ends and frees memory for the others.
   */
  grow(bytes: number): Promise<void> | void;
  /** What has arrived so far is not needed: the request will be sent again. */
  dropAnswer(): void;
  /**
   * The body is not needed any more, and the answer weighs this much; possibly more than the budget has left. It is for
   * `MemoryBudget.release` to give that back: thousands of answers wait to be stored, and a number weighs less than a lease.
   */
  exchange(answerBytes: number): void;
  /** Once or more; after an exchange it does nothing. */
  release(): void;
}

/** A budget of so many bytes. */
export function createMemoryBudget(maxBytes: number): MemoryBudget {
  let used = 0;
  let guess = FIRST_GUESS_BYTES;
  const line = createWaitingLine();
  /** Leases whose answers are held up, oldest first. */
  const held = new Map<object, () => void>();
  /** The lease that is let through over budget. */
  let favoured: object | null = null;

  const fits = (bytes: number) => used === 0 || used + bytes <= maxBytes;

  /** Answers that have begun go before requests, because only they free memory. */
  function goOn(): void {
    for (const [lease, resume] of held) {
      if (used > maxBytes && favoured !== null) return;
      if (used > maxBytes) favoured = lease;
      held.delete(lease);
      resume();
    }
    line.admit();
  }

  function giveBack(bytes: number): void {
    used -= bytes;
    goOn();
  }

  function createLease(bytes: number, guessed: number): Lease {
    /** What is counted for it; of the answer, what has arrived and what is counted. */
    let [counted, arrived, allowed] = [bytes, 0, guessed];
    const self = {};
    const end = (rest: number) => {
      const freed = counted - rest;
      counted = 0;
      if (favoured === self) favoured = null;
      // The rest of an answer that was called off is not read.
      held.delete(self);
      giveBack(freed);
    };
    return {
      grow(more) {
        arrived += more;
        const missing = Math.max(0, arrived - allowed);
        allowed += missing;
        counted += missing;
        used += missing;
        if (missing === 0 || used <= maxBytes || favoured === self) return;
        if (favoured === null) return void (favoured = self);
        return new Promise((resolve) => held.set(self, resolve));
      },
      dropAnswer() {
        const extra = allowed - guessed;
        [arrived, allowed] = [0, guessed];
        counted -= extra;
        if (favoured === self) favoured = null;
        giveBack(extra);
      },
      exchange(answerBytes) {
        guess += (answerBytes - guess) * LEARNING;
        end(answerBytes);
      },
      release: () => end(0),
    };
  }

  return {
    async reserve(bodyBytes, signal) {
      const guessed = Math.ceil(guess);
      const bytes = bodyBytes + guessed;
      return await line.enter(signal, () => {
        if (!fits(bytes)) return null;
        used += bytes;
        return createLease(bytes, guessed);
      });
    },
    release: giveBack,
    get used() {
      return used;
    },
    get isHalfUsed() {
      return used > maxBytes / 2;
    },
    get isCrowded() {
      return line.length > 0 || held.size > 0;
    },
  };
}
