import { createQueueingServer, longTailed, type SimulatedServer } from './servers.ts';
import type { SimulatedTime } from './simulated-time.ts';
import { hosted, MEAN_TOKENS, MINUTES_HOSTED, MS_PER_TOKEN, PREFILL_MS, steady, tokensOf, vllm } from './upstreams.ts';

export interface Scenario {
  name: string;
  about: string;
  minutes: number;
  maxInFlight: number;
  /** What would be best to have in flight, for the plot; null where the number in flight is not what limits. */
  bestInFlight: ((minute: number) => number) | null;
  /** Most tokens, or answers, that could be had in this time. */
  ideal: number;
  measure: 'tokens' | 'answers';
  seed: number;
  server(time: SimulatedTime, startMs: number, random: () => number): SimulatedServer;
}

/** Milliseconds per token of a batch of this size: the weights are read once for all, the rest grows with each. */
const batched = (served: number) => 15 + served * 0.1;

/** The capacity of a server that loses half of its GPUs after 20 minutes, goes away after 40 and is back after 45. */
const ailing = (minute: number) => (minute < 20 ? 48 : minute < 40 ? 12 : minute < 45 ? 0 : 48);

export const scenarios: readonly Scenario[] = [
  {
    name: 'vLLM, capacity 32',
    about:
      'serves 32, queues the rest, never refuses; log-normal lengths (sigma 1, mean 300 tokens, 6 s), reports tokens; at most 256 in flight.',
    minutes: 60,
    maxInFlight: 256,
    seed: 1,
    ...vllm(32, { usage: true }),
  },
  {
    name: 'vLLM, capacity 32, no usage',
    about: 'the same, but its answers do not tell their tokens.',
    minutes: 60,
    maxInFlight: 256,
    seed: 2,
    ...vllm(32, { usage: false }),
  },
  {
    name: 'vLLM, capacity 200',
    about: 'as the first, with room for 200.',
    minutes: 60,
    maxInFlight: 256,
    seed: 3,
    ...vllm(200, { usage: true }),
  },
  {
    name: 'llama.cpp, capacity 4',
    about: 'as the first, with room for 4. A request that waits for more than 300 s is lost.',
    minutes: 60,
    maxInFlight: 256,
    seed: 4,
    ...vllm(4, { usage: true }),
  },
  {
    name: 'vLLM that batches',
    about:
      'serves 256, each slower the more there are (15 ms per token and 0.1 more for each in flight): more in flight always gets more done, though less and less.',
    minutes: 60,
    maxInFlight: 256,
    seed: 5,
    bestInFlight: () => 256,
    ideal: tokensOf(256, 60, batched(256)),
    measure: 'tokens',
    server: (time, _, random) =>
      createQueueingServer(time, {
        capacity: () => 256,
        msPerToken: batched,
        prefillMs: PREFILL_MS,
        lengths: longTailed(MEAN_TOKENS, 1, random),
        usage: true,
      }),
  },
  {
    name: 'fixed latency',
    about: 'every answer takes 50 ms, however many there are: the upstream of the throughput bench, for one minute.',
    minutes: 1,
    maxInFlight: 256,
    seed: 6,
    ...steady(50, 1, { most: 256 }),
  },
  {
    name: 'room for all',
    about:
      'log-normal answers of one second (sigma 1), however many there are, that do not tell their tokens; for 200 s, as 50,000 lines take.',
    minutes: 200 / 60,
    maxInFlight: 256,
    seed: 11,
    bestInFlight: () => 256,
    ideal: 256 * 200,
    measure: 'answers',
    server: (time, _, random) =>
      createQueueingServer(time, {
        capacity: () => 256,
        msPerToken: () => 1,
        prefillMs: 0,
        lengths: longTailed(1000, 1, random),
        usage: false,
      }),
  },
  {
    name: 'hosted API with headers',
    about: '600 requests and 100,000 tokens per minute (tokens are what lacks), told by `x-ratelimit-*` and Retry-After.',
    minutes: MINUTES_HOSTED,
    maxInFlight: 256,
    seed: 7,
    ...hosted({ tells: 'headers', fills: 'steadily' }, 100_000),
  },
  {
    name: 'hosted API without headers',
    about: '600 requests per minute, and nothing but a bare 429 beyond.',
    minutes: MINUTES_HOSTED,
    maxInFlight: 256,
    seed: 8,
    ...hosted({ tells: 'nothing', fills: 'steadily' }),
  },
  {
    name: 'hosted API with Retry-After',
    about: '600 requests per minute, and a 429 beyond whose `Retry-After` says when there is room for one.',
    minutes: MINUTES_HOSTED,
    maxInFlight: 256,
    seed: 12,
    ...hosted({ tells: 'retry-after', fills: 'steadily' }),
  },
  {
    name: 'hosted API by the minute',
    about: '600 requests in each minute of the clock, and a 429 beyond whose `Retry-After` is the rest of the minute.',
    minutes: MINUTES_HOSTED,
    maxInFlight: 256,
    seed: 13,
    ...hosted({ tells: 'retry-after', fills: 'with each minute' }),
  },
  {
    name: 'refuses one in thirty',
    about: 'as the first, with room for 64, and answers one request in thirty with a bare 503, however many there are.',
    minutes: 60,
    maxInFlight: 256,
    seed: 10,
    ...vllm(64, { usage: true, refusesOneIn: 30 }),
  },
  {
    name: 'refuses one in ten for a minute',
    about: 'the same with one in ten, and `Retry-After: 60`.',
    minutes: 60,
    maxInFlight: 256,
    seed: 14,
    ...vllm(64, { usage: true, refusesOneIn: 10, retryAfterMs: 60_000 }),
  },
  {
    name: 'refuses one in thirty, fast',
    about:
      'every answer takes 100 ms, up to 64 of them; one request in thirty is answered with a 503 and `Retry-After: 10`; for five minutes.',
    minutes: 5,
    maxInFlight: 64,
    seed: 15,
    ...steady(100, 5, { most: 64, refusesOneIn: 30, retryAfterMs: 10_000 }),
  },
  {
    name: 'degrades, dies, comes back',
    about: 'room for 48; from minute 20 for 12; away from minute 40 to 45; then as before.',
    minutes: 80,
    maxInFlight: 256,
    seed: 9,
    bestInFlight: ailing,
    ideal: tokensOf(48, 20) + tokensOf(12, 20) + tokensOf(48, 35),
    measure: 'tokens',
    server(time, startMs, random) {
      const minute = () => (time.nowMs - startMs) / 60_000;
      return createQueueingServer(time, {
        capacity: () => (ailing(minute()) === 0 ? 1e9 : ailing(minute())),
        msPerToken: () => MS_PER_TOKEN,
        prefillMs: PREFILL_MS,
        lengths: longTailed(MEAN_TOKENS, 1, random),
        usage: true,
        down: () => ailing(minute()) === 0,
      });
    },
  },
];
