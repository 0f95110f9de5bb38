import type { Attempt, Sent } from '../domain/attempt.ts';
import type { UpstreamWatch } from '../upstream/create-upstreams.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { AttemptResult, Metrics } from './metrics.ts';
import type { Tracing } from './tracing.ts';

interface Watch {
  metrics: Pick<Metrics, 'attemptEnded' | 'waited' | 'gateClosed'>;
  tracing: Tracing;
  /** Unix time. */
  nowMs: () => number;
  logger: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/** Measures attempts and waits, traces attempts, and logs when requests begin to wait for a server, with the reason, and when they go on. */
export function watchUpstreams({ metrics, tracing, nowMs, logger }: Watch): UpstreamWatch {
  return {
    async sending(upstream, request, send) {
      const of = { upstream, ...request.about };
      const sent: Sent = tracing.isOn
        ? await tracing.attempt(of, async (traceHeaders) => await send({ ...request, traceHeaders }))
        : await send(request);
      const { attempt, ms } = sent;
      const result = resultOf(attempt);
      const seconds = attempt.kind === 'answered' || attempt.kind === 'rejected' ? ms / 1000 : null;
      metrics.attemptEnded({ upstream, result, seconds, tokens: tokensOf(attempt) });
      if ('message' in attempt && attempt.kind !== 'rejected') {
        const { batchId, line, attempt: number } = request.about;
        const status = 'answer' in attempt ? (attempt.answer?.status ?? null) : null;
        logger.debug({ upstream, batch: batchId, line, attempt: number, result, status }, 'attempt failed');
      }
      return sent;
    },
    waited: (upstream, reason, seconds) => metrics.waited(upstream, reason, seconds),
    gateChanged({ upstream, server, model }, closed, before) {
      const at = { upstream, server, ...(model === null || model === '' ? {} : { model }) };
      if (closed !== null) {
        metrics.gateClosed(upstream, closed.kind);
        logger.warn({ ...at, class: closed.kind, reason: closed.reason }, 'the upstream is unavailable: requests wait, probes go out');
      } else if (before !== null) {
        logger.info({ ...at, closed_ms: nowMs() - before.sinceMs }, 'the upstream is available again');
      }
    },
  };
}

/** Shows the upstreams in the metrics. */
export function measureUpstreams(upstreams: Iterable<Upstream>, metrics: Pick<Metrics, 'reads'>): void {
  for (const upstream of upstreams) {
    metrics.reads(upstream.name, () => ({
      inFlight: upstream.inFlight,
      limit: upstream.limit,
      waiting: upstream.waiting,
      closed: new Set(upstream.closedGates.map(({ closed }) => closed.kind)),
    }));
  }
}

function resultOf(attempt: Attempt): AttemptResult {
  switch (attempt.kind) {
    case 'failed':
      return attempt.code;
    case 'away':
      return 'unavailable';
    default:
      return attempt.kind;
  }
}

function tokensOf(attempt: Attempt): { input: number; output: number } | null {
  if (attempt.kind !== 'answered' || attempt.usage === null) return null;
  return { input: attempt.usage.input_tokens, output: attempt.usage.output_tokens };
}
