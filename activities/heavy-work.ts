/**
 * Control work that may be what ends the process: the checking of long lines. A request that was on the wire then is not to blame, so the
 * heartbeats of requests tell of it.
 */
export interface HeavyWork {
  readonly isRunning: boolean;
  /** Until disposed, heavy work runs. Resolves when the server knows it of all requests that are watched. */
  begin(): Promise<Disposable>;
  /** Calls `announce` when heavy work begins, until disposed. It must not reject. */
  watch(announce: () => Promise<void>): Disposable;
}

/** None runs yet. */
export function createHeavyWork(): HeavyWork {
  const watchers = new Set<() => Promise<void>>();
  let running = 0;
  return {
    get isRunning() {
      return running > 0;
    },
    async begin() {
      running += 1;
      // A request that is watched from now on announces it by itself.
      if (running === 1) await Promise.all([...watchers].map(async (announce) => await announce()));
      return { [Symbol.dispose]: () => void (running -= 1) };
    },
    watch(announce) {
      const own = async () => await announce();
      watchers.add(own);
      return { [Symbol.dispose]: () => void watchers.delete(own) };
    },
  };
}
