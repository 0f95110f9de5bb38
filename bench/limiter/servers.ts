import type { Usage } from '../../src/domain/batch.ts';
import type { Attempt } from '../../src/upstream/client.ts';
import type { RateBudget } from '../../src/upstream/rate-headers.ts';
import type { SimulatedTime } from './simulated-time.ts';

/** A server in simulated time, and what it counts of itself. */
export interface SimulatedServer {
  send(signal: AbortSignal): Promise<Attempt>;
  /** Output tokens of finished answers. */
  tokens: number;
  answers: number;
  refused: number;
  /** Requests that wait for their turn. */
  readonly queued: number;
}

/** The request timeout. */
const TIMEOUT_MS = 300_000;

/** One answer's length, in output tokens. */
export type Lengths = () => number;

/** Log-normal lengths with this mean. */
export function longTailed(mean: number, sigma: number, random: () => number): Lengths {
  return () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(1, Math.round(mean * Math.exp(sigma * normal - (sigma * sigma) / 2)));
  };
}

/**
 * Serves so many at a time and queues the rest without a word, as vLLM does. `msPerToken` may depend on how many are served:
 * larger batches are slower each and faster together. `capacity` and `down` may change with time; `refuses` is asked for each
 * request, and `retryAfterMs` told where it refuses.
 */
export function createQueueingServer(
  time: SimulatedTime,
  {
    capacity,
    msPerToken,
    prefillMs,
    lengths,
    usage,
    down = () => false,
    refuses = () => false,
    retryAfterMs = null,
  }: {
    capacity: () => number;
    msPerToken: (served: number) => number;
    prefillMs: number;
    lengths: Lengths;
    usage: boolean;
    down?: () => boolean;
    refuses?: () => boolean;
    retryAfterMs?: number | null;
  },
): SimulatedServer {
  const queue = new Set<() => void>();
  let serving = 0;
  const server: SimulatedServer = {
    tokens: 0,
    answers: 0,
    refused: 0,
    get queued() {
      return queue.size;
    },
    async send() {
      if (down()) return { kind: 'unavailable', message: 'down' };
      if (refuses()) {
        server.refused += 1;
        return await refusal(time, 503, retryAfterMs);
      }
      const sentMs = time.nowMs;
      const length = lengths();
      const timedOut = await new Promise<boolean>((resolve) => {
        const begin = () => {
          serving += 1;
          time.after(prefillMs + length * msPerToken(serving), () => {
            serving -= 1;
            resolve(false);
            serve();
          });
        };
        queue.add(begin);
        // Who hangs up while it waits is forgotten.
        time.after(TIMEOUT_MS, () => queue.delete(begin) && resolve(true));
        serve();
      });
      if (timedOut) return { kind: 'fault', code: 'request_timeout', message: 'timeout', answer: null, ms: TIMEOUT_MS };
      if (down()) return { kind: 'fault', code: 'connection_error', message: 'reset', answer: null, ms: time.nowMs - sentMs };
      server.tokens += length;
      server.answers += 1;
      return answer(usage ? length : null, time.nowMs - sentMs);
    },
  };
  function serve(): void {
    for (const begin of queue) {
      if (serving >= capacity()) return;
      queue.delete(begin);
      begin();
    }
  }
  return server;
}

export interface HostedApi {
  requestsPerMinute: number;
  tokensPerMinute: number;
  msPerToken: number;
  lengths: Lengths;
  /** What it tells of them; by headers is Retry-After too. */
  tells: 'headers' | 'retry-after' | 'nothing';
  fills: 'steadily' | 'with each minute';
  usage: boolean;
}

/** Answers everything at once, as far as two budgets allow. OpenAI's fill steadily, and are told by headers. */
export function createHostedApi(time: SimulatedTime, given: HostedApi): SimulatedServer {
  const createBucket = given.fills === 'with each minute' ? createMinute : createSteadyBucket;
  const buckets = { requests: createBucket(time, given.requestsPerMinute), tokens: createBucket(time, given.tokensPerMinute) };

  const server: SimulatedServer = {
    tokens: 0,
    answers: 0,
    refused: 0,
    queued: 0,
    async send() {
      const length = given.lengths();
      const { requests, tokens } = buckets;
      const granted = requests.left() >= 1 && tokens.left() >= length;
      if (granted) {
        requests.take(1);
        tokens.take(length);
      }
      const budgets = given.tells === 'headers' ? { requests: requests.told(), tokens: tokens.told() } : null;
      if (!granted) {
        server.refused += 1;
        const retryAfterMs = given.tells === 'nothing' ? null : Math.max(requests.waitMs(1), tokens.waitMs(length));
        return { ...(await refusal(time, 429, retryAfterMs)), budgets };
      }
      const ms = 200 + length * given.msPerToken;
      await delay(time, ms);
      server.tokens += length;
      server.answers += 1;
      return { ...answer(given.usage ? length : null, ms), budgets };
    },
  };
  return server;
}

interface Bucket {
  left(): number;
  take(count: number): void;
  told(): RateBudget;
  /** Until there is so much in it. */
  waitMs(count: number): number;
}

function createSteadyBucket(time: SimulatedTime, perMinute: number): Bucket {
  let [left, filledMs] = [perMinute, 0];
  return {
    left() {
      left = Math.min(perMinute, left + ((time.nowMs - filledMs) * perMinute) / 60_000);
      filledMs = time.nowMs;
      return left;
    },
    take: (count) => void (left -= count),
    told: () => ({ remaining: Math.max(0, Math.floor(left)), resetMs: ((perMinute - left) * 60_000) / perMinute }),
    waitMs: (count) => Math.max(0, ((count - left) * 60_000) / perMinute),
  };
}

function createMinute(time: SimulatedTime, perMinute: number): Bucket {
  let [taken, minute] = [0, 0];
  const leftMs = () => 60_000 - (time.nowMs % 60_000);
  const left = () => {
    const now = Math.floor(time.nowMs / 60_000);
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

/** It comes sooner than any answer. */
async function refusal(time: SimulatedTime, status: number, retryAfterMs: number | null) {
  await delay(time, 20);
  return { kind: 'refusal' as const, status, body: Buffer.alloc(0), requestId: null, retryAfterMs, budgets: null, ms: 20 };
}

async function delay(time: SimulatedTime, ms: number): Promise<void> {
  await new Promise<void>((resolve) => time.after(ms, resolve));
}

function answer(tokens: number | null, ms: number) {
  const usage: Usage | null =
    tokens === null
      ? null
      : {
          input_tokens: 0,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: tokens,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: tokens,
        };
  return { kind: 'answer' as const, status: 200, body: Buffer.alloc(0), requestId: null, usage, budgets: null, ms };
}
