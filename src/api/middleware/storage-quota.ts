import type { Middleware } from 'koa';
import { storageFull } from '../errors/limit-errors.ts';
import type { TenantSettingsOf } from '../../domain/tenant.ts';
import type { ApiState } from '../context.ts';
import { createStoredBytesLedger, type Holding } from '../stored-bytes-ledger.ts';

const BODIES = /^\/v1\/(?:files|uploads\/[^/]+\/parts)$/;
const ANNOUNCEMENTS = '/v1/uploads';
/** Creates of batches: one of an `s3://` object and a retry each write a file. */
const CREATES = /^\/v1\/batches(?:\/[^/]+\/retry)?$/;
const COMPLETIONS = /^\/v1\/uploads\/[^/]+\/complete$/;

/**
 * Holds the stored bytes of each tenant to their limit. A body takes its declared length before it is read; one of undeclared length
 * takes its bytes as they come, and a create those of the file that it writes. So any number of them at a time stays below the limit. Throws
 * the 429.
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
  const ledger = createStoredBytesLedger({ stores, monotonicMs });

  return async (ctx, next) => {
    const { tenant } = ctx.state;
    const maxStoredBytes = tenant === null ? null : settingsOf(tenant).limits.maxStoredBytes;
    const isBody = BODIES.test(ctx.path);
    const isCompletion = COMPLETIONS.test(ctx.path);
    const isCreate = CREATES.test(ctx.path);
    const isCounted = ctx.method === 'POST' && (isBody || isCompletion || isCreate || ctx.path === ANNOUNCEMENTS);
    if (tenant === null || maxStoredBytes === null || !isCounted) return await next();

    const account = ledger.open(tenant, maxStoredBytes);
    const take = async (bytes: number) => {
      if (!(await account.take(bytes))) throw storageFull(maxStoredBytes);
    };
    let isStored = false;
    try {
      const declared = ctx.get('content-length');
      if (!isCompletion && !isCreate) await take(isBody ? Number(declared) || 0 : 0);
      if (isCompletion || isCreate || (isBody && declared === '')) ctx.state.takeBytes = take;
      await next();
      // A completion puts one file in the place of its parts.
      isStored = isBody || isCreate;
    } finally {
      account.end(isStored);
    }
  };
}
