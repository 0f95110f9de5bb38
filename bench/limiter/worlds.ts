import type { Clock } from './clock.ts';
import { createHostedApi, createModelServer, type HostedApi, longTailed, type ModelServer, type SimulatedServer } from './servers.ts';

/** A server, and who sends to it. */
export interface World {
  name: string;
  about: string;
  minutes: number;
  /** No constant was chosen on it. */
  heldOut?: boolean;
  maxInFlight?: number;
  timeoutMs?: number;
  /** Answers tell their tokens. */
  usage?: boolean;
  workers?: number;
  /** Somebody else's requests, always so many in flight. */
  neighbour?: number;
  /** What would be best to have in flight, for the plot; null where the number in flight is not what limits. */
  best: ((minute: number) => number) | null;
  /** Most tokens, or answers, that could be had in this time. */
  ideal: number;
  measure: 'tokens' | 'answers';
  server(clock: Clock, random: () => number): SimulatedServer;
}

const MEAN_TOKENS = 300;
const PREFILL_TOKENS = 10;
const MS_PER_TOKEN = 20;
const MINUTES_HOSTED = 30;

type Served = Pick<World, 'minutes' | 'best' | 'ideal' | 'measure' | 'server'>;

/** Slots of a constant speed, that queue. */
function slots(
  capacity: number,
  minutes: number,
  given: Partial<ModelServer> & { ms?: number; meanTokens?: number; sigma?: number; refusesOneIn?: number } = {},
): Served {
  const { ms = MS_PER_TOKEN, meanTokens = MEAN_TOKENS, sigma = 1, refusesOneIn } = given;
  return {
    minutes,
    best: () => capacity,
    ideal: (capacity * minutes * 60_000 * meanTokens) / ((PREFILL_TOKENS + meanTokens) * ms),
    measure: 'tokens',
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => capacity,
        msPerToken: () => ms,
        prefill: PREFILL_TOKENS,
        lengths: longTailed(meanTokens, sigma, random),
        ...(refusesOneIn === undefined ? {} : { refuses: () => random() < 1 / refusesOneIn }),
        ...given,
      }),
  };
}

/** Each token takes `a` ms and `b` more for each request at a time: the weights are read once for all. */
function batching(a: number, b: number, most: number, minutes: number): Served {
  const msPerToken = (running: number) => a + b * running;
  return {
    minutes,
    best: () => most,
    ideal: (most * minutes * 60_000 * MEAN_TOKENS) / ((PREFILL_TOKENS + MEAN_TOKENS) * msPerToken(most)),
    measure: 'tokens',
    server: (clock, random) =>
      createModelServer(clock, { capacity: () => most, msPerToken, prefill: PREFILL_TOKENS, lengths: longTailed(MEAN_TOKENS, 1, random) }),
  };
}

/** One processor for all: each does 1/n as much. `prefill` and tokens are of 1 s each. */
function sharing(prefill: number, meanTokens: number, most: number, minutes: number): Served {
  return {
    minutes,
    best: () => 1,
    ideal: (minutes * 60) / (prefill + meanTokens),
    measure: 'answers',
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => most,
        msPerToken: (running) => 1000 * running,
        prefill,
        lengths: longTailed(meanTokens, 1, random),
      }),
  };
}

/** Every answer takes so long, however many there are. */
function steady(ms: number, minutes: number, most: number, refusesOneIn?: number, retryAfterMs?: number): Served {
  return {
    minutes,
    best: () => most,
    ideal: (most * minutes * 60_000) / ms,
    measure: 'answers',
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => most,
        msPerToken: () => ms / 100,
        prefill: 0,
        lengths: () => 100,
        ...(refusesOneIn === undefined ? {} : { refuses: () => random() < 1 / refusesOneIn }),
        retryAfterMs: retryAfterMs ?? null,
      }),
  };
}

/** A minute's worth is in a bucket at the beginning; and half an hour touches 31 minutes of the clock. */
function hosted(given: Pick<HostedApi, 'tells' | 'fills'>, tokensPerMinute: number | null = null): Served {
  const perMinute = tokensPerMinute ?? 600;
  return {
    minutes: MINUTES_HOSTED,
    measure: tokensPerMinute === null ? 'answers' : 'tokens',
    best: null,
    ideal: perMinute * (MINUTES_HOSTED + 1),
    server: (clock, random) =>
      createHostedApi(clock, {
        ...given,
        requestsPerMinute: 600,
        tokensPerMinute: tokensPerMinute ?? 1e9,
        msPerToken: 10,
        lengths: longTailed(MEAN_TOKENS, 1, random),
      }),
  };
}

/** The capacity of a server that loses half of its GPUs after 20 minutes, goes away after 40 and is back after 45. */
const ailing = (minute: number) => (minute < 20 ? 48 : minute < 40 ? 12 : minute < 45 ? 0 : 48);

/** One length in ten is twenty times the others'. */
function bimodal(random: () => number): () => number {
  return () => (random() < 0.1 ? 2000 : 100);
}

const noUsage = { usage: false };
export const worlds: readonly World[] = [
  {
    name: 'slots, 32',
    about: 'answers 32 at a time, queues the rest, never refuses; log-normal lengths (sigma 1, mean 300 tokens, 6.2 s), tells tokens.',
    ...slots(32, 60),
  },
  { name: 'slots, 32, no usage', about: 'the same, but its answers do not tell their tokens.', ...noUsage, ...slots(32, 60) },
  { name: 'slots, 200', about: 'as the first, with 200 slots.', ...slots(200, 60) },
  { name: 'slots, 4', about: 'as the first, with 4 slots.', timeoutMs: 300_000, ...slots(4, 60) },
  {
    name: 'one slot of 30 s',
    about: 'one slot, 30 s an answer (log-normal, sigma 0.5), timeout 300 s, four hours.',
    timeoutMs: 300_000,
    ...slots(1, 240, { ms: 100, meanTokens: 290, sigma: 0.5 }),
  },
  {
    name: 'batching, a=15 b=0.1',
    about: 'up to 1,024 at a time, each token 15 ms and 0.1 ms more for each of them: more in flight always gets more done.',
    ...batching(15, 0.1, 1024, 60),
  },
  {
    name: 'fixed latency',
    about: 'every answer takes 50 ms, up to 256 at a time: the upstream of the throughput bench.',
    maxInFlight: 256,
    ...steady(50, 1, 256),
  },
  {
    name: 'room for 256',
    about: 'log-normal answers of one second, up to 256 at a time, that do not tell their tokens; for 200 s, as 50,000 lines take.',
    ...noUsage,
    maxInFlight: 256,
    ...slots(256, 200 / 60, { ms: 1, meanTokens: 1000 }),
  },
  {
    name: 'hosted API with headers',
    about: '600 requests and 100,000 tokens per minute (tokens are what lacks), told by `x-ratelimit-*` and Retry-After.',
    ...hosted({ tells: 'headers', fills: 'steadily' }, 100_000),
  },
  {
    name: 'hosted API without headers',
    about: '600 requests per minute, and nothing but a bare 429 beyond.',
    ...hosted({ tells: 'nothing', fills: 'steadily' }),
  },
  {
    name: 'hosted API with Retry-After',
    about: '600 requests per minute, and a 429 beyond whose `Retry-After` says when there is room for one.',
    ...hosted({ tells: 'retry-after', fills: 'steadily' }),
  },
  {
    name: 'refuses one in thirty',
    about: 'as the first, with 64 slots, and refuses one request in thirty with a bare 503, however many there are.',
    ...slots(64, 60, { refusesOneIn: 30 }),
  },
  { name: 'refuses half', about: 'the same with one in two.', ...slots(64, 60, { refusesOneIn: 2 }) },
  {
    name: 'degrades, dies, comes back',
    about: '48 slots; 12 from minute 20; away from minute 40 to 45; then as before.',
    minutes: 80,
    best: ailing,
    ideal: slots(48, 55).ideal + slots(12, 20).ideal,
    measure: 'tokens',
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => ailing(clock.nowMs / 60_000),
        msPerToken: () => MS_PER_TOKEN,
        lengths: longTailed(MEAN_TOKENS, 1, random),
      }),
  },
  { name: '2 workers, 32 slots', about: 'as the first, from two workers.', workers: 2, ...slots(32, 60) },
  {
    name: '4 workers, 32 slots',
    about: 'as the first, from four workers.',
    heldOut: true,
    workers: 4,
    ...slots(32, 60),
  },
  {
    name: 'neighbour, 32 slots',
    about: 'as the first, beside another client that always has 32 in flight. Ideal is half of the slots.',
    neighbour: 32,
    ...slots(32, 60),
    best: () => 32,
    ideal: slots(32, 60).ideal / 2,
  },
  {
    name: 'sharing, prefill 30 s',
    about: 'one processor for up to 32 at a time, 30 s of prefill and 10 s of tokens each, timeout 300 s, four hours.',
    heldOut: true,
    timeoutMs: 300_000,
    ...sharing(30, 10, 32, 240),
  },
  {
    name: 'one slot of 4 s, timeout 10 s',
    about: 'one slot, 4 s an answer (log-normal, sigma 0.3), timeout 10 s.',
    heldOut: true,
    timeoutMs: 10_000,
    ...slots(1, 60, { ms: 60, meanTokens: 57, sigma: 0.3 }),
  },
  {
    name: '4 slots of 90 s',
    about: 'four slots, 90 s an answer (log-normal, sigma 0.5), timeout 300 s, four hours.',
    heldOut: true,
    timeoutMs: 300_000,
    ...slots(4, 240, { ms: 100, meanTokens: 890, sigma: 0.5 }),
  },
  {
    name: 'batching, a=12 b=0.045',
    about: 'as the other one, with the numbers of a large GPU and a small model.',
    ...batching(12, 0.045, 1024, 60),
  },
  {
    name: 'backlog of 5',
    about: 'four slots of 80 ms, and a listen backlog of 5: what comes beyond is sent again after 1, 3, 7, 15 s and so on; timeout 60 s.',
    timeoutMs: 60_000,
    ...noUsage,
    ...slots(4, 10, { ms: 1, meanTokens: 70, sigma: 0.3, backlog: 5 }),
  },
  {
    name: 'hosted API by the minute',
    about: '600 requests in each minute of the clock, and a 429 beyond whose `Retry-After` is the rest of the minute.',
    heldOut: true,
    ...hosted({ tells: 'retry-after', fills: 'with each minute' }),
  },
  {
    name: 'refuses one in ten for a minute',
    about: 'refuses one request in ten, however many there are, with `Retry-After: 60`; 64 slots.',
    heldOut: true,
    ...slots(64, 60, { refusesOneIn: 10, retryAfterMs: 60_000 }),
  },
  {
    name: 'refuses one in thirty, fast',
    about: 'answers of 100 ms, up to 64 of them; one request in thirty gets a 503 with `Retry-After: 10`; for five minutes.',
    heldOut: true,
    ...steady(100, 5, 64, 30, 10_000),
  },
  {
    name: 'two lengths, 32 slots',
    about: 'as the first without usage, nine answers in ten of 2.2 s and one of 40 s.',
    heldOut: true,
    ...noUsage,
    ...slots(32, 60),
    ideal: (32 * 60 * 60_000 * 290) / (300 * MS_PER_TOKEN),
    server: (clock, random) =>
      createModelServer(clock, { capacity: () => 32, msPerToken: () => MS_PER_TOKEN, prefill: PREFILL_TOKENS, lengths: bimodal(random) }),
  },
  {
    name: 'growing lengths, 32 slots',
    about: 'as the first without usage, with lengths that grow evenly from 100 to 600 tokens, as in an input that is sorted.',
    ...noUsage,
    ...slots(32, 60),
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => 32,
        msPerToken: () => MS_PER_TOKEN,
        prefill: PREFILL_TOKENS,
        lengths: () => Math.round((100 + (500 * clock.nowMs) / 3_600_000) * (0.5 + random())),
      }),
  },
  {
    name: 'cold load of 2 min',
    about: '4 slots that answer nothing in the first two minutes, then as the first; timeout 300 s.',
    heldOut: true,
    timeoutMs: 300_000,
    ...slots(4, 60),
    ideal: slots(4, 58).ideal,
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => 4,
        msPerToken: () => MS_PER_TOKEN,
        prefill: PREFILL_TOKENS,
        lengths: (() => {
          const lengths = longTailed(MEAN_TOKENS, 1, random);
          return () => (clock.nowMs < 1000 ? 6000 : lengths());
        })(),
      }),
  },
  {
    name: 'slots, 64, equal lengths',
    about: 'answers 64 at a time, queues the rest; every answer takes 3 s.',
    heldOut: true,
    ...slots(64, 60, { sigma: 0, meanTokens: 140 }),
  },
  {
    name: 'slots, 12, no usage',
    about: 'answers 12 at a time, queues the rest; log-normal (sigma 1.3, mean 20 s), tells no tokens.',
    heldOut: true,
    ...noUsage,
    ...slots(12, 180, { sigma: 1.3, meanTokens: 990 }),
  },
  {
    name: 'batching up to 128, then a queue',
    about: 'each token takes 30 ms and 0.3 ms more for each request at a time, up to 128; the rest waits.',
    heldOut: true,
    ...batching(30, 0.3, 128, 60),
  },
  {
    name: 'refuses beyond 24',
    about: 'answers 16 at a time, lets 8 wait and refuses the rest with a bare 429.',
    heldOut: true,
    ...slots(16, 60, { maxQueued: 8 }),
  },
  {
    name: 'half of an hour slow',
    about: '32 slots, three times slower from minute 20 to 50.',
    heldOut: true,
    ...slots(32, 60),
    ideal: slots(32, 30).ideal + slots(32, 30, { ms: 60 }).ideal,
    server: (clock, random) =>
      createModelServer(clock, {
        capacity: () => 32,
        msPerToken: () => (clock.nowMs > 20 * 60_000 && clock.nowMs < 50 * 60_000 ? 60 : MS_PER_TOKEN),
        prefill: PREFILL_TOKENS,
        lengths: longTailed(MEAN_TOKENS, 1, random),
      }),
  },
];
