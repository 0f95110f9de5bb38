import type { Middleware } from 'koa';
import { ApiError } from '../errors/api-error.ts';
import { badTarget, unsupportedEncoding } from '../errors/request-errors.ts';
import type { ApiState } from '../context.ts';

/** What Node takes for the one expectation there is; it has been answered by then. */
const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i;

/**
 * Refuses what HTTP/1.1 itself demands to be refused: a target that is no path, a request without `Host`, and an unknown
 * expectation. Node would answer without the envelope. Throws the 400 or the 417.
 */
export function httpRules(): Middleware<ApiState> {
  return async ({ req: { httpVersion, headers }, state }, next) => {
    if (!state.isTargetValid) throw badTarget(state.path);
    if (httpVersion === '1.1') {
      if (headers.host === undefined) throw new ApiError({ status: 400, message: "The request has no 'Host' header." });
      if (headers.expect !== undefined && !CONTINUE.test(headers.expect)) {
        throw new ApiError({ status: 417, message: "Only '100-continue' can be expected in the header 'Expect'." });
      }
    }
    const encoding = headers['content-encoding'] ?? '';
    if (!/^(?:identity)?$/i.test(encoding)) throw unsupportedEncoding(encoding);
    await next();
  };
}
