import type { Middleware } from 'koa';
import type { ApiState, Logger } from '../context.ts';
import { drainBody } from '../request-body.ts';

/** Time a client gets to deliver the rest of a body nobody wants, so that it can read why. */
const DRAIN_MS = 30_000;

/** Outermost: gives every request its id and, once the answer is out or its client gone, its line in the log. */
export function requestLog({
  logger,
  monotonicMs,
  newRequestId,
}: {
  logger: Logger;
  monotonicMs: () => number;
  newRequestId: () => string;
}): Middleware<ApiState> {
  return async (ctx, next) => {
    const startedMs = monotonicMs();
    ctx.state.requestId = newRequestId();
    ctx.state.tenant = null;
    ctx.set('x-request-id', ctx.state.requestId);
    ctx.res.once('close', () => {
      const { requestId: request_id, tenant } = ctx.state;
      const aborted = ctx.res.writableFinished ? {} : { aborted: true };
      logger.info(
        {
          request_id,
          tenant,
          method: ctx.method,
          path: ctx.path,
          status: ctx.res.statusCode,
          ms: Math.round(monotonicMs() - startedMs),
          ...aborted,
        },
        'request',
      );
    });
    await next();
    drainBody(ctx.req, DRAIN_MS);
  };
}
