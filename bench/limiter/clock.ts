import { createHeap } from './heap.ts';

/** A clock that jumps from one timer to the next, so that hours of traffic take seconds and every run is the same. */
export interface Clock {
  /** Milliseconds since the start. */
  readonly nowMs: number;
  /** Calls `fire` after so many milliseconds, unless it is cancelled before. */
  after(ms: number, fire: () => void): () => void;
  /** Runs timer after timer until this time. */
  runUntil(ms: number): void;
}

/** A clock at 0. */
export function createClock(): Clock {
  const timers = createHeap<{ at: number; order: number; fire: (() => void) | null }>();
  let [nowMs, order] = [0, 0];
  return {
    get nowMs() {
      return nowMs;
    },
    after(ms, fire) {
      const timer = { at: nowMs + Math.max(0, ms), order: order++, fire: fire as (() => void) | null };
      timers.add(timer);
      return () => void (timer.fire = null);
    },
    runUntil(ms) {
      for (let next = timers.first; next !== undefined && next.at <= ms; next = timers.first) {
        timers.removeFirst();
        if (next.fire === null) continue;
        nowMs = next.at;
        next.fire();
      }
      nowMs = ms;
    },
  };
}
