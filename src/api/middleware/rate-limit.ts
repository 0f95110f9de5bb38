import type { Middleware } from 'koa';
import { rateLimited } from '../errors/limit-errors.ts';
import type { TenantSettingsOf } from '../../domain/tenant.ts';
import type { ApiContext, ApiState } from '../context.ts';
import { createTokenBuckets } from '../token-buckets.ts';

/** What the rate limit is made of; `onRefused` gets each request that is refused, before it is answered. */
interface Rate {
  settingsOf: TenantSettingsOf;
  monotonicMs: () => number;
  onRefused: (ctx: ApiContext) => Promise<void>;
}

/** Holds each tenant to its requests per minute. Throws the 429. */
export function rateLimit({ settingsOf, monotonicMs, onRefused }: Rate): Middleware<ApiState> {
  const requests = createTokenBuckets({ perMs: 60_000, monotonicMs });

  return async (ctx, next) => {
    const { tenant } = ctx.state;
    const requestsPerMinute = tenant === null ? null : settingsOf(tenant).limits.requestsPerMinute;
    if (tenant !== null && requestsPerMinute !== null) {
      const request = requests.take(tenant, requestsPerMinute);
      // As OpenAI calls them; clients that pace themselves look at these.
      ctx.set('x-ratelimit-limit-requests', String(requestsPerMinute));
      ctx.set('x-ratelimit-remaining-requests', String(request.granted ? request.left : 0));
      if (!request.granted) {
        await onRefused(ctx);
        throw rateLimited(`${requestsPerMinute} requests per minute`, request.waitMs / 1000);
      }
    }
    await next();
  };
}
