import type { Middleware } from 'koa';
import type { ApiState, Logger } from '../context.ts';
import { cutText } from '../../domain/shown-text.ts';
import { drainBody } from '../request-body.ts';
import { originForm } from '../request-target.ts';

/** Time a client gets to deliver the rest of a body nobody wants, so that it can read why. */
const DRAIN_MS = 30_000;
/** Characters of a path in the log: longer than that of any endpoint, so that a client without a key cannot fill the disk. */
const LOGGED_PATH_LENGTH = 200;

/**
 * Outermost: gives every request its id and a target that can be read without throwing, and writes its line into the log once
 * the answer is out or the client gone.
 */
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
    const raw = ctx.req.url ?? '';
    const target = originForm(raw);
    ctx.state.isTargetValid = target !== null;
    ctx.state.path = cutText((target ?? raw).replace(/\?.*$/s, ''), LOGGED_PATH_LENGTH);
    // Koa reads the path from here, with a parser that throws for anything else.
    ctx.req.url = target ?? '/';
    ctx.set('x-request-id', ctx.state.requestId);
    ctx.res.once('close', () => {
      const { requestId: request_id, tenant, path } = ctx.state;
      const aborted = ctx.res.writableFinished ? {} : { aborted: true };
      logger.info(
        {
          request_id,
          tenant,
          method: ctx.method,
          path,
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
