import type { Middleware } from 'koa';
import { type ApiContext, type ApiState, clientGone } from '../context.ts';
import { createSlots } from '../slots.ts';

/** A body takes up to 1 MiB while it comes: all of it if it is JSON, else what an upload keeps before it gets a part buffer. */
const BODIES = { what: '64 request bodies at a time', perTenant: 64, total: 192, maxWaiting: 128, maxWaitMs: 10_000 };

interface Deps {
  /** Gets each request that is refused, before it is answered. */
  onRefused: (ctx: ApiContext) => Promise<void>;
  bounds?: typeof BODIES;
}

/**
 * Bounds how many request bodies are read at a time, for each tenant and in all, because clients may stall in the middle of one.
 * Throws the 429 or the 503. A body that is whole takes no slot any more, however long its request goes on.
 */
export function bodySlots({ onRefused, bounds = BODIES }: Deps): Middleware<ApiState> {
  const slots = createSlots(bounds);

  return async (ctx, next) => {
    const { tenant } = ctx.state;
    if (tenant === null || ctx.method !== 'POST' || ctx.req.complete) return await next();
    const signal = clientGone(ctx);
    const leave = await slots.enter(tenant, signal).catch(async (error: unknown) => {
      if (!signal.aborted) await onRefused(ctx);
      throw error;
    });
    ctx.req.once('end', leave);
    try {
      await next();
    } finally {
      leave();
    }
  };
}
