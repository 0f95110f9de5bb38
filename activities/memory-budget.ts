/** What an answer is thought to weigh before the first one has come. */
const FIRST_GUESS_BYTES = 16 * 1024;
/** Each answer moves the guess by this part of the difference. */
const LEARNING = 1 / 16;

/**
 * Bytes that may be in memory at a time, handed out in the order of asking. Who asks for more than there is gets it alone,
 * so nothing waits for ever.
 */
export interface MemoryBudget {
  /** Waits until there is room for the bytes of a body and those of a usual answer; rejects with the signal's reason when it ends first. */
  reserve(bodyBytes: number, signal: AbortSignal): Promise<Lease>;
  /** Gives back what a lease was exchanged for. */
  release(answerBytes: number): void;
  readonly used: number;
  /** Whether somebody waits: then nothing is to be held longer than need be. */
  readonly isCrowded: boolean;
}

/** Room in memory, until released or exchanged. */
export interface Lease {
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
  const waiting: { bytes: number; grant: () => void }[] = [];

  const fits = (bytes: number) => used === 0 || used + bytes <= maxBytes;

  function grantNext(): void {
    for (let next = waiting[0]; next !== undefined && fits(next.bytes); next = waiting[0]) {
      waiting.shift();
      used += next.bytes;
      next.grant();
    }
  }

  function lease(bytes: number): Lease {
    let held = bytes;
    return {
      exchange(answerBytes) {
        guess += (answerBytes - guess) * LEARNING;
        giveBack(held - answerBytes);
        held = 0;
      },
      release() {
        giveBack(held);
        held = 0;
      },
    };
  }

  function giveBack(bytes: number): void {
    used -= bytes;
    grantNext();
  }

  return {
    async reserve(bodyBytes, signal) {
      signal.throwIfAborted();
      const bytes = bodyBytes + Math.ceil(guess);
      if (waiting.length === 0 && fits(bytes)) {
        used += bytes;
        return lease(bytes);
      }
      return await new Promise<Lease>((resolve, reject) => {
        const mine = {
          bytes,
          grant() {
            signal.removeEventListener('abort', leave);
            resolve(lease(bytes));
          },
        };
        const leave = () => {
          waiting.splice(waiting.indexOf(mine), 1);
          reject(signal.reason);
          // It may have been too large for the room that those behind it have long had.
          grantNext();
        };
        signal.addEventListener('abort', leave, { once: true });
        waiting.push(mine);
      });
    },
    release: giveBack,
    get used() {
      return used;
    },
    get isCrowded() {
      return waiting.length > 0;
    },
  };
}
