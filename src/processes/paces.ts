import { type AnswerTime, createAnswerTime } from '../domain/answer-time.ts';
import type { UpstreamWatch } from '../upstream/create-upstreams.ts';

/** How long the upstreams take for an answer. */
export interface Paces {
  /** The same watch, which also measures. */
  around(watch: UpstreamWatch): UpstreamWatch;
  /** Null before the first answer. */
  meanMs(upstream: string): number | null;
}

/** Nothing was sent yet. */
export function createPaces({ monotonicMs }: { monotonicMs: () => number }): Paces {
  const times = new Map<string, AnswerTime>();
  const timeOf = (upstream: string): AnswerTime => {
    const time = times.get(upstream) ?? createAnswerTime({ monotonicMs });
    times.set(upstream, time);
    return time;
  };
  return {
    around: (watch) => ({
      ...watch,
      async sending(upstream, request, send) {
        const time = timeOf(upstream);
        let isAnswered = false;
        time.begin();
        try {
          const sent = await watch.sending(upstream, request, send);
          isAnswered = sent.attempt.kind === 'answered';
          return sent;
        } finally {
          time.end(isAnswered);
        }
      },
    }),
    // An answer may take less than a tick of the clock.
    meanMs(upstream) {
      const meanMs = timeOf(upstream).meanMs;
      return meanMs === null ? null : Math.max(1, meanMs);
    },
  };
}
