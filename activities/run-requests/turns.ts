import { createWaitingLine } from '../../src/async/waiting-line.ts';

/** Lets in as many as there is capacity for, in the order of asking. */
export interface Turns {
  /** Waits for this amount, which is taken until disposed; rejects with the signal's reason when that ends first. */
  take(amount: number, signal: AbortSignal): Promise<Disposable>;
}

/** A caller that asks for more than `capacity` gets all of it. */
export function createTurns(capacity: number): Turns {
  const line = createWaitingLine();
  let taken = 0;

  function tryTake(amount: number): Disposable | null {
    if (taken + amount > capacity) return null;
    taken += amount;
    let isOver = false;
    return {
      [Symbol.dispose]() {
        if (!isOver) taken -= amount;
        isOver = true;
        line.admit();
      },
    };
  }

  return {
    async take(asked, signal) {
      const amount = Math.min(asked, capacity);
      return await line.enter(signal, () => tryTake(amount));
    },
  };
}
