import { onAbort } from './on-abort.ts';

/** A first-come queue for something of which there is only so much. What there is, and how it is counted, is the caller's matter. */
export interface WaitingLine {
  /**
   * Answers what `tryTake` answers, once this caller is the first in line and there is enough: null says that there is not.
   * Rejects with the signal's reason when the signal is aborted first.
   */
  enter<T>(signal: AbortSignal, tryTake: () => T | null): Promise<T>;
  /** Lets in as many as there is enough for. To be called whenever something has been given back. */
  admit(): void;
  /** Callers that wait. */
  readonly length: number;
}

export function createWaitingLine(): WaitingLine {
  const waiting = new Set<() => boolean>();

  function admit(): void {
    for (const tryEnter of waiting) if (!tryEnter()) return;
  }

  return {
    admit,
    get length() {
      return waiting.size;
    },
    async enter<T>(signal: AbortSignal, tryTake: () => T | null): Promise<T> {
      signal.throwIfAborted();
      const taken = waiting.size === 0 ? tryTake() : null;
      if (taken !== null) return taken;
      return await new Promise<T>((resolve, reject) => {
        const tryEnter = () => {
          const got = tryTake();
          if (got === null) return false;
          waiting.delete(tryEnter);
          forget();
          resolve(got);
          return true;
        };
        const forget = onAbort(signal, () => {
          waiting.delete(tryEnter);
          reject(signal.reason);
          // It may have been too large for what those behind it have long had.
          admit();
        });
        waiting.add(tryEnter);
      });
    },
  };
}
