import type { RateBudget, RateBudgets } from '../../src/domain/attempt.ts';
import type { Clock } from './clock.ts';
import { createHeap } from './heap.ts';

export type Reply =
  | { kind: 'answer'; tokens: number; budgets?: RateBudgets | null }
  | { kind: 'refusal'; retryAfterMs: number | null; budgets?: RateBudgets | null }
  /** No connection is made. */
  | { kind: 'unavailable' }
  /** The connection breaks. */
  | { kind: 'reset' };

/** A model server in simulated time. */
export interface SimulatedServer {
  /** Sends a request; the answer hangs up. */
  send(reply: (reply: Reply) => void): () => void;
  /** Sends a request that takes no work, and tells how long it waited for its turn: what an interactive client would wait. */
  visit(begun: (waitMs: number) => void): void;
  /** Requests that are being answered, and those that wait for their turn. */
  readonly running: number;
  readonly queued: number;
}

/** One answer's length, in output tokens. */
export type Lengths = () => number;

/** Log-normal lengths with this mean. */
export function longTailed(mean: number, sigma: number, random: () => number): Lengths {
  return () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(1, Math.round(mean * Math.exp(sigma * normal - (sigma * sigma) / 2)));
  };
}

const REFUSAL_MS = 20;

export interface ModelServer {
  /** Requests that it answers at a time; more wait. May change with time; 0 while it is away. */
  capacity: () => number;
  /** Milliseconds per token, the more the more are answered at a time. It changes for all of them with each that comes and goes. */
  msPerToken: (running: number) => number;
  /** Work before the first token, in tokens. */
  prefill?: number;
  lengths: Lengths;
  refuses?: () => boolean;
  retryAfterMs?: number | null;
  /** Requests that may wait. One more is not heard of: its client repeats it after 1 s, 3 s, 7 s and so on, as TCP does. */
  backlog?: number;
  /** Requests that may wait; it refuses one more. */
  maxQueued?: number;
}

interface Turn {
  begin: () => void;
  isGone: boolean;
  isVisit?: boolean;
}

/**
 * Answers so many at a time and lets the others wait, first come, first served. With a constant `msPerToken` it has slots, with one
 * that grows linearly it batches, and with one in proportion to `running` it shares one processor. It forgets a client that hangs up.
 */
export function createModelServer(clock: Clock, given: ModelServer): SimulatedServer {
  const {
    capacity,
    msPerToken,
    prefill = 10,
    lengths,
    refuses = () => false,
    retryAfterMs = null,
    backlog = Infinity,
    maxQueued = Infinity,
  } = given;
  const queue: Turn[] = [];
  /** By the work, in tokens each, that must be done until it ends. */
  const ends = createHeap<{ at: number; order: number; end: () => void }>();
  const running = new Set<() => void>();
  // Work done for each that is running since the start, as of `sinceMs`.
  let [done, sinceMs, gone, order] = [0, 0, 0, 0];
  let cancelNext = (): void => undefined;

  function pass(): void {
    if (running.size > 0) done += (clock.nowMs - sinceMs) / msPerToken(running.size);
    sinceMs = clock.nowMs;
  }

  function planNext(): void {
    cancelNext();
    while (ends.first !== undefined && !running.has(ends.first.end)) ends.removeFirst();
    if (ends.first === undefined) return;
    const { at, end } = ends.first;
    cancelNext = clock.after(Math.max(0, at - done) * msPerToken(running.size), () => {
      pass();
      running.delete(end);
      serve();
      end();
    });
  }

  function serve(): void {
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      if (!next.isGone && running.size >= capacity()) break;
      queue.shift();
      if (next.isGone) gone -= 1;
      else next.begin();
    }
    planNext();
  }

  function arrive(turn: Turn, repeatMs = 1000): void {
    if (turn.isGone) return;
    if (queue.length - gone >= backlog) return void clock.after(repeatMs, () => arrive(turn, Math.min(2 * repeatMs, 120_000)));
    queue.push(turn);
    pass();
    serve();
  }

  return {
    get running() {
      return running.size;
    },
    get queued() {
      return queue.filter(({ isGone, isVisit }) => !isGone && isVisit !== true).length;
    },
    visit(begun) {
      if (capacity() === 0) return;
      const sentMs = clock.nowMs;
      arrive({ begin: () => begun(clock.nowMs - sentMs), isGone: false, isVisit: true });
    },
    send(reply) {
      if (capacity() === 0) return clock.after(1, () => reply({ kind: 'unavailable' }));
      if (refuses() || (running.size >= capacity() && queue.length - gone >= maxQueued))
        return clock.after(REFUSAL_MS, () => reply({ kind: 'refusal', retryAfterMs }));
      const tokens = lengths();
      const end = () => reply(capacity() === 0 ? { kind: 'reset' } : { kind: 'answer', tokens });
      const begin = () => {
        running.add(end);
        ends.add({ at: done + prefill + tokens, order: order++, end });
      };
      const turn: Turn = { begin, isGone: false };
      arrive(turn);
      return () => {
        pass();
        turn.isGone = true;
        if (!running.delete(end) && queue.includes(turn)) gone += 1;
        serve();
      };
    },
  };
}

export interface HostedApi {
  requestsPerMinute: number;
  tokensPerMinute: number;
  msPerToken: number;
  lengths: Lengths;
  /** What it tells of them; by headers is Retry-After too. */
  tells: 'headers' | 'retry-after' | 'nothing';
  fills: 'steadily' | 'with each minute';
}

/** Answers everything at once, as far as two budgets allow. OpenAI's fill steadily, and are told by headers. */
export function createHostedApi(clock: Clock, given: HostedApi): SimulatedServer {
  const createBucket = given.fills === 'with each minute' ? createMinute : createSteadyBucket;
  const buckets = { requests: createBucket(clock, given.requestsPerMinute), tokens: createBucket(clock, given.tokensPerMinute) };
  let running = 0;
  return {
    queued: 0,
    get running() {
      return running;
    },
    visit: (begun) => begun(0),
    send(reply) {
      const length = given.lengths();
      const { requests, tokens } = buckets;
      const isGranted = requests.left() >= 1 && tokens.left() >= length;
      if (isGranted) {
        requests.take(1);
        tokens.take(length);
      }
      const budgets = given.tells === 'headers' ? { requests: requests.told(), tokens: tokens.told() } : null;
      if (!isGranted) {
        const retryAfterMs = given.tells === 'nothing' ? null : Math.max(requests.waitMs(1), tokens.waitMs(length));
        return clock.after(REFUSAL_MS, () => reply({ kind: 'refusal', retryAfterMs, budgets }));
      }
      running += 1;
      return clock.after(200 + length * given.msPerToken, () => {
        running -= 1;
        reply({ kind: 'answer', tokens: length, budgets });
      });
    },
  };
}

interface Bucket {
  left(): number;
  take(count: number): void;
  told(): RateBudget;
  /** Until there is so much in it. */
  waitMs(count: number): number;
}

function createSteadyBucket(clock: Clock, perMinute: number): Bucket {
  let [left, filledMs] = [perMinute, 0];
  return {
    left() {
      left = Math.min(perMinute, left + ((clock.nowMs - filledMs) * perMinute) / 60_000);
      filledMs = clock.nowMs;
      return left;
    },
    take: (count) => void (left -= count),
    told: () => ({ remaining: Math.max(0, Math.floor(left)), resetMs: ((perMinute - left) * 60_000) / perMinute }),
    waitMs: (count) => Math.max(0, ((count - left) * 60_000) / perMinute),
  };
}

function createMinute(clock: Clock, perMinute: number): Bucket {
  let [taken, minute] = [0, 0];
  const leftMs = () => 60_000 - (clock.nowMs % 60_000);
  const left = () => {
    const now = Math.floor(clock.nowMs / 60_000);
    if (now !== minute) [taken, minute] = [0, now];
    return perMinute - taken;
  };
  return {
    left,
    take: (count) => void (taken += count),
    told: () => ({ remaining: Math.max(0, left()), resetMs: leftMs() }),
    waitMs: (count) => (count <= left() ? 0 : leftMs()),
  };
}
