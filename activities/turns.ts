/** Lets one in at a time, in the order of asking. */
export interface Turns {
  /** Waits for its turn, which lasts until disposed; rejects with the signal's reason when that ends first. */
  take(signal: AbortSignal): Promise<Disposable>;
}

/** Nobody is in. */
export function createTurns(): Turns {
  const waiting: (() => void)[] = [];
  let taken = false;

  function giveBack(): void {
    const next = waiting.shift();
    if (next === undefined) taken = false;
    else next();
  }

  return {
    async take(signal) {
      signal.throwIfAborted();
      if (taken) {
        await new Promise<void>((resolve, reject) => {
          const enter = () => {
            signal.removeEventListener('abort', leave);
            resolve();
          };
          const leave = () => {
            waiting.splice(waiting.indexOf(enter), 1);
            reject(signal.reason);
          };
          signal.addEventListener('abort', leave, { once: true });
          waiting.push(enter);
        });
      }
      taken = true;
      return { [Symbol.dispose]: giveBack };
    },
  };
}
