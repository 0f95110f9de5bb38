/** Lets in as many as there is capacity for, in the order of asking. */
export interface Turns {
  /** Waits for this amount, which is taken until disposed; rejects with the signal's reason when that ends first. */
  take(amount: number, signal: AbortSignal): Promise<Disposable>;
}

/** Nobody is in. Who asks for more than there is gets all of it. */
export function createTurns(capacity: number): Turns {
  const waiting: { amount: number; enter: () => void }[] = [];
  let taken = 0;

  function letIn(): void {
    for (let next = waiting[0]; next !== undefined && taken + next.amount <= capacity; next = waiting[0]) {
      waiting.shift();
      next.enter();
    }
  }

  function turn(amount: number): Disposable {
    taken += amount;
    let isOver = false;
    return {
      [Symbol.dispose]() {
        if (!isOver) taken -= amount;
        isOver = true;
        letIn();
      },
    };
  }

  return {
    async take(asked, signal) {
      signal.throwIfAborted();
      const amount = Math.min(asked, capacity);
      if (waiting.length === 0 && taken + amount <= capacity) return turn(amount);
      return await new Promise((resolve, reject) => {
        const mine = {
          amount,
          enter() {
            signal.removeEventListener('abort', leave);
            resolve(turn(amount));
          },
        };
        const leave = () => {
          waiting.splice(waiting.indexOf(mine), 1);
          reject(signal.reason);
          // Those behind it may need less.
          letIn();
        };
        signal.addEventListener('abort', leave, { once: true });
        waiting.push(mine);
      });
    },
  };
}
