import { ObjectStoreError } from '../../domain/object-store-error.ts';
import type { Middleware } from 'koa';
import { ApiError, envelope, internal } from '../errors/api-error.ts';
import { outOfSpace, unavailable } from '../errors/limit-errors.ts';
import { bodyTooLarge, requestTimeout } from '../errors/request-errors.ts';
import { type ApiState, type Logger, sendJson } from '../context.ts';
import { MalformedForm } from '../multipart.ts';
import { BodyStalled, BodyTooLarge, ClientGone } from '../request-body.ts';

/** What logs and metrics call a request whose client hung up before there was an answer, as proxies do. Nothing is sent. */
const CLIENT_GONE = 499;

/** Turns whatever was thrown into the envelope. What is our fault is logged here, and the client is told its request id only. */
export function errorEnvelope({ logger }: { logger: Logger }): Middleware<ApiState> {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      // Nobody is there to be answered, and nothing of ours went wrong: the line of the request says `aborted`.
      if (error instanceof ClientGone) {
        ctx.res.statusCode = CLIENT_GONE;
        return;
      }
      const apiError = toApiError(error);
      if (apiError.status >= 500) {
        logger.error(
          { request_id: ctx.state.requestId, tenant: ctx.state.tenant, method: ctx.method, path: ctx.state.path, err: error },
          'request failed',
        );
      }
      // A stalled body may still come; nobody waits for it.
      if (error instanceof BodyStalled) ctx.set('Connection', 'close');
      ctx.set({ ...apiError.headers });
      sendJson(ctx, envelope(apiError), apiError.status);
    }
  };
}

function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof BodyTooLarge) return bodyTooLarge(error.maxBytes, 'file');
  if (error instanceof BodyStalled) return requestTimeout();
  if (error instanceof MalformedForm) return new ApiError({ status: 400, message: error.message });
  if (error instanceof ObjectStoreError) return error.isFull ? outOfSpace() : unavailable('object store', 5);
  return internal();
}
