const TICK_MS = 1_000;

/** Notices that this process was paused (stopped, swapped out, its event loop blocked) and tells whoever listens. */
export interface PauseDetector {
  /**
   * Calls `onPaused` at most once, after a pause of at least `pausedMs`, and before anything else can be done after the pause if
   * `check` is called first.
   */
  listen(onPaused: () => void, pausedMs: number): Disposable;
  /** Looks at the clock now. Timers that are due may come in any order after a pause, so a tick alone could be too late. */
  check(): void;
}

/** Ticks once a second while somebody listens. */
export function createPauseDetector({ monotonicMs }: { monotonicMs: () => number }): PauseDetector {
  /** Each with the length of the pause that it listens for. */
  const listeners = new Map<() => void, number>();
  let lastTickMs = 0;
  let timer: NodeJS.Timeout | null = null;
  let users = 0;

  function check(): void {
    if (timer === null) return;
    const now = monotonicMs();
    const pauseMs = now - lastTickMs;
    for (const [listener, pausedMs] of listeners) {
      if (pauseMs < pausedMs) continue;
      // The pause is over: a listener that comes now must not hear of it.
      lastTickMs = now;
      listeners.delete(listener);
      listener();
    }
  }

  function tick(): void {
    check();
    lastTickMs = monotonicMs();
  }

  return {
    check,
    listen(onPaused, pausedMs) {
      const listener = () => onPaused();
      if (timer === null) {
        lastTickMs = monotonicMs();
        timer = setInterval(tick, TICK_MS);
      }
      users += 1;
      listeners.set(listener, pausedMs);
      return {
        [Symbol.dispose]() {
          listeners.delete(listener);
          users -= 1;
          if (users > 0 || timer === null) return;
          clearInterval(timer);
          timer = null;
        },
      };
    },
  };
}
