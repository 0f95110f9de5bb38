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
  readonly used: number;
  /** Whether somebody waits: then nothing is to be held longer than need be. */
  readonly isCrowded: boolean;
}

/** Room in memory, until released. */
export interface Lease {
  /** The body is not needed any more, and the answer weighs this much; possibly more than the budget has left. */
  answered(bytes: number): void;
  /** Once or more. */
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
    const hold = (next: number) => {
      used += next - held;
      held = next;
      grantNext();
    };
    return {
      answered(answerBytes) {
        guess += (answerBytes - guess) * LEARNING;
        hold(answerBytes);
      },
      release: () => hold(0),
    };
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
    get used() {
      return used;
    },
    get isCrowded() {
      return waiting.length > 0;
    },
  };
}
