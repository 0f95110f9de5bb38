import type { IncomingMessage } from 'node:http';
import type { Middleware } from 'koa';
import type { ApiState, Logger } from '../context.ts';
import { cutText } from '../../domain/shown-text.ts';
import { drainBody } from '../request-body.ts';
import { originForm } from '../request-target.ts';

/** Time a client gets to deliver the rest of a body nobody wants, so that it can read why. */
const DRAIN_MS = 30_000;
/** Characters of a path or header in the log: longer than any endpoint, so that a client without a key cannot fill the disk. */
const LOGGED_LENGTH = 200;

/**
 * Outermost: gives every request its id and a target that can be read without throwing, and writes its line into the log once
 * the answer is out or the client gone.
 */
export function requestLog({
  logger,
  monotonicMs,
  trustsProxy,
  newRequestId,
}: {
  logger: Logger;
  monotonicMs: () => number;
  trustsProxy: boolean;
  newRequestId: () => string;
}): Middleware<ApiState> {
  return async (ctx, next) => {
    const startedMs = monotonicMs();
    ctx.state.requestId = newRequestId();
    ctx.state.tenant = null;
    ctx.state.keyFingerprint = null;
    const raw = ctx.req.url ?? '';
    const target = originForm(raw);
    ctx.state.isTargetValid = target !== null;
    ctx.state.path = cutText((target ?? raw).replace(/\?.*$/s, ''), LOGGED_LENGTH);
    // Koa reads the path from here, with a parser that throws for anything else.
    ctx.req.url = target ?? '/';
    ctx.set('x-request-id', ctx.state.requestId);
    const { socket } = ctx.req;
    const [ip, sentBefore] = [addressOf(ctx.req, trustsProxy), socket.bytesWritten];
    ctx.res.once('close', () => {
      const { requestId: request_id, tenant, keyFingerprint: key, path } = ctx.state;
      const aborted = ctx.res.writableFinished ? {} : { aborted: true };
      logger.info(
        {
          request_id,
          ip,
          tenant,
          key,
          user_agent: cutText(ctx.get('user-agent'), LOGGED_LENGTH),
          method: ctx.method,
          path,
          status: ctx.res.statusCode,
          bytes: socket.bytesWritten - sentBefore,
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

/** The last address in `X-Forwarded-For` is the one that the proxy in front has seen; those before it are the client's own words. */
function addressOf(request: IncomingMessage, trustsProxy: boolean): string | undefined {
  const forwarded = trustsProxy
    ? String(request.headers['x-forwarded-for'] ?? '')
        .split(',')
        .at(-1)
        ?.trim()
    : undefined;
  return cutText(forwarded || request.socket.remoteAddress || '', LOGGED_LENGTH);
}
