import type { Gate } from '../upstream/gate.ts';
import type { Upstream } from '../upstream/routes.ts';
import type { Metrics } from './metrics.ts';

interface Watch {
  metrics: Pick<Metrics, 'reads' | 'gateClosed'>;
  /** Unix time. */
  nowMs: () => number;
  logger: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}

/** The same upstream: its limiter and gate can be read in the metrics, and the log tells when it goes away and comes back. */
export function watchUpstream(upstream: Upstream, { metrics, nowMs, logger }: Watch): Upstream {
  const { name, limiter, gate } = upstream;
  metrics.reads(name, () => ({
    inFlight: limiter.inFlight,
    limit: limiter.limit,
    waiting: limiter.waiting,
    isClosed: gate.closed !== null,
  }));

  const watched: Gate = {
    pass: (requestKey, signal) => gate.pass(requestKey, signal),
    closesWithin: (ms, signal) => gate.closesWithin(ms, signal),
    // A gate opens and closes in here and nowhere else.
    observe(requestKey, seen) {
      const before = gate.closed;
      gate.observe(requestKey, seen);
      const after = gate.closed;
      if (before === null && after !== null) {
        metrics.gateClosed(name);
        logger.warn({ upstream: name, reason: after.reason }, 'the upstream is unavailable: requests wait, probes go out');
      } else if (before !== null && after === null) {
        logger.info({ upstream: name, closed_ms: nowMs() - before.sinceMs }, 'the upstream is available again');
      }
    },
    get closed() {
      return gate.closed;
    },
  };
  return { ...upstream, gate: watched };
}
