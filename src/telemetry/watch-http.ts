import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Context, Middleware } from 'koa';
import type { Metrics } from './metrics.ts';
import type { Tracing } from './tracing.ts';

interface Watch {
  metrics: Pick<Metrics, 'httpAnswered'>;
  tracing: Tracing;
  /** Whether the trace context that a request carries is taken up: a client could have every request of its recorded. */
  trustsTraces: boolean;
  monotonicMs: () => number;
}

/** What a request has in its state; the API says more of it. */
interface State {
  requestId?: string;
  /** Path of the request, set by a middleware that has made sure that it can be read. */
  path?: string;
}

/** Labels of requests that were refused before the router. */
const UNROUTED = ['/v1/files', '/v1/uploads', '/v1/batches'];
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Around everything else of the API: measures each request by the pattern of its route, and makes it a span where tracing is on. */
export function watchHttp({ metrics, tracing, trustsTraces, monotonicMs }: Watch): Middleware<State> {
  return async (ctx, next) => {
    const startedMs = monotonicMs();
    ctx.res.once('close', () => {
      const seconds = (monotonicMs() - startedMs) / 1000;
      metrics.httpAnswered({ method: methodOf(ctx), route: routeOf(ctx), status: ctx.res.statusCode, seconds });
    });
    if (!tracing.isOn) return await next();
    await tracing.span(
      {
        name: methodOf(ctx),
        kind: SpanKind.SERVER,
        attributes: { 'http.request.method': methodOf(ctx) },
        ...(trustsTraces ? { carrier: ctx.headers } : {}),
        onEnd(span) {
          span.updateName(`${methodOf(ctx)} ${routeOf(ctx)}`);
          if (ctx.res.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
          span.setAttributes({
            'http.route': routeOf(ctx),
            'http.response.status_code': ctx.res.statusCode,
            'nightshift.request.id': ctx.state.requestId ?? '',
          });
        },
      },
      next,
    );
  };
}

/**
 * The pattern of the route, like `/v1/batches/:id`. A request that is refused before the router (401, 429) is labelled with the first
 * two segments of its path, and everything else with `none`. `ctx.path` must not be read here: for some targets it throws, and in a
 * listener that ends the process.
 */
function routeOf(ctx: object & { state: State }): string {
  if ('_matchedRoute' in ctx && typeof ctx._matchedRoute === 'string') return ctx._matchedRoute;
  const path = ctx.state.path ?? '';
  return UNROUTED.find((prefix) => path === prefix || path.startsWith(`${prefix}/`)) ?? 'none';
}

/** Clients can make methods up, too. */
function methodOf({ method }: Pick<Context, 'method'>): string {
  return METHODS.has(method) ? method : 'other';
}
