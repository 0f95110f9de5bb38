import type { Usage } from '../../src/domain/batch.ts';
import type { Attempt } from '../../src/upstream/client.ts';
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
 * request.
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
  }: {
    capacity: () => number;
    msPerToken: (served: number) => number;
    prefillMs: number;
    lengths: Lengths;
    usage: boolean;
    down?: () => boolean;
    refuses?: () => boolean;
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
        await delay(time, 20);
        return { kind: 'refusal', status: 503, body: Buffer.alloc(0), requestId: null, retryAfterMs: null, budgets: null, ms: 20 };
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

/** Answers everything at once, as far as two budgets allow: buckets that fill steadily, told by headers as OpenAI does. */
export function createHostedApi(
  time: SimulatedTime,
  given: { requestsPerMinute: number; tokensPerMinute: number; msPerToken: number; lengths: Lengths; headers: boolean; usage: boolean },
): SimulatedServer {
  const buckets = { requests: bucket(given.requestsPerMinute), tokens: bucket(given.tokensPerMinute) };

  function bucket(perMinute: number) {
    let [left, filledMs] = [perMinute, 0];
    return {
      left() {
        left = Math.min(perMinute, left + ((time.nowMs - filledMs) * perMinute) / 60_000);
        filledMs = time.nowMs;
        return left;
      },
      take: (count: number) => void (left -= count),
      told: () => ({ remaining: Math.max(0, Math.floor(left)), resetMs: ((perMinute - left) * 60_000) / perMinute }),
      waitMs: (count: number) => Math.max(0, ((count - left) * 60_000) / perMinute),
    };
  }

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
      const budgets = given.headers ? { requests: requests.told(), tokens: tokens.told() } : null;
      if (!granted) {
        server.refused += 1;
        const retryAfterMs = given.headers ? Math.max(requests.waitMs(1), tokens.waitMs(length)) : null;
        await delay(time, 20);
        return { kind: 'refusal', status: 429, body: Buffer.alloc(0), requestId: null, retryAfterMs, budgets, ms: 20 };
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
