/** Lets in as many as there is room for, in the order of asking. */
export interface Turns {
  /** Waits for this much room, which is taken until disposed; rejects with the signal's reason when that ends first. */
  take(room: number, signal: AbortSignal): Promise<Disposable>;
}

/** Nobody is in. Who asks for more than there is gets all of it. */
export function createTurns(capacity: number): Turns {
  const waiting: { room: number; enter: () => void }[] = [];
  let taken = 0;

  function letIn(): void {
    for (let next = waiting[0]; next !== undefined && taken + next.room <= capacity; next = waiting[0]) {
      waiting.shift();
      next.enter();
    }
  }

  function turn(room: number): Disposable {
    taken += room;
    let isOver = false;
    return {
      [Symbol.dispose]() {
        if (!isOver) taken -= room;
        isOver = true;
        letIn();
      },
    };
  }

  return {
    async take(asked, signal) {
      signal.throwIfAborted();
      const room = Math.min(asked, capacity);
      if (waiting.length === 0 && taken + room <= capacity) return turn(room);
      return await new Promise((resolve, reject) => {
        const mine = {
          room,
          enter() {
            signal.removeEventListener('abort', leave);
            resolve(turn(room));
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
