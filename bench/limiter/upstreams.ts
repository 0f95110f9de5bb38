import type { Scenario } from './scenarios.ts';
import { createHostedApi, createQueueingServer, type HostedApi, longTailed } from './servers.ts';

export const MEAN_TOKENS = 300;
export const MS_PER_TOKEN = 20;
export const PREFILL_MS = 200;

/** Tokens that a queueing server serves in so many minutes. */
export function tokensOf(capacity: number, minutes: number, msPerToken = MS_PER_TOKEN): number {
  return (capacity * minutes * 60_000 * MEAN_TOKENS) / (PREFILL_MS + MEAN_TOKENS * msPerToken);
}

type Upstream = Pick<Scenario, 'server' | 'bestInFlight' | 'ideal' | 'measure'>;

/** For an hour. One request in `refusesOneIn` is refused, however many there are. */
export function vllm(capacity: number, given: { usage: boolean; refusesOneIn?: number; retryAfterMs?: number }): Upstream {
  return {
    measure: 'tokens',
    bestInFlight: () => capacity,
    ideal: tokensOf(capacity, 60),
    server: (time, _, random) =>
      createQueueingServer(time, {
        capacity: () => capacity,
        msPerToken: () => MS_PER_TOKEN,
        prefillMs: PREFILL_MS,
        lengths: longTailed(MEAN_TOKENS, 1, random),
        usage: given.usage,
        refuses: refusesOneIn(given.refusesOneIn, random),
        retryAfterMs: given.retryAfterMs ?? null,
      }),
  };
}

/** Every answer takes so long, however many there are. */
export function steady(ms: number, minutes: number, given: { most: number; refusesOneIn?: number; retryAfterMs?: number }): Upstream {
  return {
    measure: 'answers',
    bestInFlight: () => given.most,
    ideal: (given.most * minutes * 60_000) / ms,
    server: (time, _, random) =>
      createQueueingServer(time, {
        capacity: () => given.most,
        msPerToken: () => 0,
        prefillMs: ms,
        lengths: () => 100,
        usage: true,
        refuses: refusesOneIn(given.refusesOneIn, random),
        retryAfterMs: given.retryAfterMs ?? null,
      }),
  };
}

function refusesOneIn(count: number | undefined, random: () => number): () => boolean {
  return count === undefined ? () => false : () => random() < 1 / count;
}

export const MINUTES_HOSTED = 30;

/** A minute's worth is in a bucket at the beginning; and half an hour touches 31 minutes of the clock. */
export function hosted(given: Pick<HostedApi, 'tells' | 'fills'>, tokensPerMinute: number | null = null): Upstream {
  const perMinute = tokensPerMinute ?? 600;
  return {
    measure: tokensPerMinute === null ? 'answers' : 'tokens',
    bestInFlight: null,
    ideal: perMinute * (MINUTES_HOSTED + 1),
    server: (time, _, random) =>
      createHostedApi(time, {
        ...given,
        requestsPerMinute: 600,
        tokensPerMinute: tokensPerMinute ?? 1e9,
        msPerToken: 10,
        lengths: longTailed(MEAN_TOKENS, 1, random),
        usage: true,
      }),
  };
}
