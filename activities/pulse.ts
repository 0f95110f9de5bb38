const TICK_MS = 1_000;
/** A process that stood still for longer may have a successor for everything it does: heartbeats end after 30 s. */
const PAUSED_MS = 20_000;

/** Notices that this process was paused (stopped, swapped out, its event loop blocked) and tells whoever listens. */
export interface Pulse {
  /** `onPaused` is called at most once, before anything else can be done after the pause if `check` is called first. */
  listen(onPaused: () => void): Disposable;
  /** Looks at the clock now. Timers that are due may come in any order after a pause, so a tick alone could be too late. */
  check(): void;
}

/** Ticks once a second while somebody listens. */
export function createPulse({ monotonicMs }: { monotonicMs: () => number }): Pulse {
  const listeners = new Set<() => void>();
  let lastTickMs = 0;
  let timer: NodeJS.Timeout | null = null;
  let users = 0;

  function check(): void {
    const now = monotonicMs();
    if (timer === null || now - lastTickMs < PAUSED_MS) return;
    lastTickMs = now;
    for (const onPaused of listeners) onPaused();
    listeners.clear();
  }

  function tick(): void {
    check();
    lastTickMs = monotonicMs();
  }

  return {
    check,
    listen(onPaused) {
      const listener = () => onPaused();
      if (timer === null) {
        lastTickMs = monotonicMs();
        timer = setInterval(tick, TICK_MS);
      }
      users += 1;
      listeners.add(listener);
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
