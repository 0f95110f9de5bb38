import type { Middleware } from 'koa';
import { rateLimited } from '../../domain/errors.ts';
import type { TenantLimits } from '../../domain/limits.ts';
import type { ApiState } from '../context.ts';
import { createTokenBuckets } from '../token-buckets.ts';

type Rates = Pick<TenantLimits, 'requestsPerMinute' | 'batchesPerHour'>;

/** Holds each tenant to its rates, before anything of the body is read. Throws the 429. */
export function rateLimit({ requestsPerMinute, batchesPerHour, monotonicMs }: Rates & { monotonicMs: () => number }): Middleware<ApiState> {
  const requests = requestsPerMinute === null ? null : createTokenBuckets({ count: requestsPerMinute, perMs: 60_000, monotonicMs });
  const creates = batchesPerHour === null ? null : createTokenBuckets({ count: batchesPerHour, perMs: 3_600_000, monotonicMs });

  return async (ctx, next) => {
    const { tenant } = ctx.state;
    if (tenant === null) return await next();

    const request = requests?.take(tenant);
    if (request !== undefined) {
      // As OpenAI calls them; clients that pace themselves look at these.
      ctx.set('x-ratelimit-limit-requests', String(requestsPerMinute));
      ctx.set('x-ratelimit-remaining-requests', String(request.granted ? request.left : 0));
      if (!request.granted) throw rateLimited(`${requestsPerMinute} requests per minute`, request.waitMs / 1000);
    }
    if (creates === null || ctx.method !== 'POST' || ctx.path !== '/v1/batches') return await next();

    const create = creates.take(tenant);
    if (!create.granted) throw rateLimited(`${batchesPerHour} batches per hour`, create.waitMs / 1000);
    try {
      await next();
    } catch (error) {
      creates.giveBack(tenant);
      throw error;
    }
  };
}
