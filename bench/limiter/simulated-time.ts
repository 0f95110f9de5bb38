/** A clock that jumps from one timer to the next, so that hours of traffic take seconds and every run is the same. */
export interface SimulatedTime {
  /** Milliseconds since the start. */
  readonly nowMs: number;
  after(ms: number, fire: () => void): void;
  /** Runs timer after timer until this time. */
  runUntil(ms: number): Promise<void>;
}

interface Timer {
  atMs: number;
  order: number;
  fire: () => void;
}

/** Takes the place of the process's timers, clocks and lots: what runs afterwards lives in simulated time. */
export function installSimulatedTime(random: () => number): SimulatedTime {
  const realImmediate = setImmediate;
  const heap: Timer[] = [];
  const cancelled = new WeakSet<Timer>();
  let [nowMs, order] = [0, 0];

  function add(ms: number, fire: () => void): Timer {
    const timer = { atMs: nowMs + Math.max(0, ms), order: order++, fire };
    heap.push(timer);
    for (let at = heap.length - 1; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!isBefore(heap, at, parent)) break;
      swap(heap, at, parent);
      at = parent;
    }
    return timer;
  }

  function take(): Timer | undefined {
    const last = heap.length - 1;
    if (last > 0) swap(heap, 0, last);
    const first = heap.pop();
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < heap.length && isBefore(heap, child, least)) least = child;
      if (least === at) return first;
      swap(heap, at, least);
      at = least;
    }
  }

  const replace = (owner: object, name: string, value: unknown) =>
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  replace(globalThis, 'setTimeout', (fire: () => void, ms = 0) => add(ms, fire));
  replace(globalThis, 'clearTimeout', (timer: Timer | null | undefined) => void (timer && cancelled.add(timer)));
  replace(performance, 'now', () => nowMs);
  replace(Date, 'now', () => 1_700_000_000_000 + nowMs);
  replace(Math, 'random', random);

  return {
    get nowMs() {
      return nowMs;
    },
    after(ms, fire) {
      add(ms, fire);
    },
    async runUntil(ms) {
      for (;;) {
        const next = heap[0];
        if (next === undefined || next.atMs > ms) break;
        take();
        if (cancelled.has(next)) continue;
        nowMs = next.atMs;
        next.fire();
        // Whatever waited for this goes on before time does.
        if (heap[0] === undefined || heap[0].atMs > nowMs) await new Promise<void>((resolve) => void realImmediate(resolve));
      }
      nowMs = ms;
    },
  };
}

function isBefore(heap: readonly Timer[], one: number, other: number): boolean {
  const [a, b] = [heap[one], heap[other]];
  if (a === undefined || b === undefined) return false;
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs;
}

function swap(heap: Timer[], one: number, other: number): void {
  const [a, b] = [heap[one], heap[other]];
  if (a === undefined || b === undefined) return;
  heap[one] = b;
  heap[other] = a;
}
