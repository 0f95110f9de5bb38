import type { Middleware } from 'koa';
import { storageFull } from '../../domain/errors.ts';
import type { TenantSettingsOf } from '../../domain/tenant.ts';
import type { ApiState } from '../context.ts';

/** What can say how many bytes of a tenant it holds. */
interface Holding {
  storedBytes(tenant: string): Promise<number>;
}

/** What a tenant held when the bucket was asked, and has sent since. */
interface Measured {
  bytes: number;
  atMs: number;
}

/** Age up to which a measurement serves to accept an upload; others may have stored something meanwhile. */
const MAX_AGE_MS = 60_000;
/** Age up to which it serves to refuse one: who has just deleted files is not to wait. */
const MAX_AGE_TO_REFUSE_MS = 1000;

const UPLOADS = /^\/v1\/(files|uploads|uploads\/[^/]+\/parts)$/;

/**
 * Refuses uploads of a tenant that holds as much as it may, or would with the length that it declares. A body of undeclared
 * length goes through as long as there is room at all, so one upload at a time may stand out by its own length.
 */
export function storageQuota({
  settingsOf,
  stores,
  monotonicMs,
}: {
  settingsOf: TenantSettingsOf;
  stores: readonly Holding[];
  monotonicMs: () => number;
}): Middleware<ApiState> {
  const measured = new Map<string, Promise<Measured>>();

  async function holdingOf(tenant: string, maxAgeMs: number): Promise<Measured> {
    const known = await measured.get(tenant)?.catch(() => null);
    if (known && monotonicMs() - known.atMs < maxAgeMs) return known;
    const asked = measure(tenant);
    measured.set(tenant, asked);
    return await asked;
  }

  async function measure(tenant: string): Promise<Measured> {
    const atMs = monotonicMs();
    const all = await Promise.all(stores.map(async (store) => await store.storedBytes(tenant)));
    return { atMs, bytes: all.reduce((sum, bytes) => sum + bytes, 0) };
  }

  return async (ctx, next) => {
    const { tenant } = ctx.state;
    const maxStoredBytes = tenant === null ? null : settingsOf(tenant).limits.maxStoredBytes;
    if (maxStoredBytes === null || tenant === null || ctx.method !== 'POST' || !UPLOADS.test(ctx.path)) return await next();

    const declaredBytes = ctx.request.length ?? 0;
    const hasRoom = ({ bytes }: Measured) => bytes < maxStoredBytes && bytes + declaredBytes <= maxStoredBytes;
    let holding = await holdingOf(tenant, MAX_AGE_MS);
    if (!hasRoom(holding)) holding = await holdingOf(tenant, MAX_AGE_TO_REFUSE_MS);
    if (!hasRoom(holding)) throw storageFull(maxStoredBytes);

    holding.bytes += declaredBytes;
    try {
      await next();
      // Nobody knows how much it was.
      if (declaredBytes === 0) measured.delete(tenant);
    } catch (error) {
      holding.bytes -= declaredBytes;
      throw error;
    }
  };
}
