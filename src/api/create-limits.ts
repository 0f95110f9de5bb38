import { rateLimited, tooManyOpenBatches } from './errors/limit-errors.ts';
import type { TenantSettingsOf } from '../domain/tenant.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import { createTokenBuckets } from './token-buckets.ts';

/** How many batches a tenant may make per hour, and have open at a time. */
export interface CreateLimits {
  /**
   * Admits one create. Throws the 429 when there is no place for it, unless `isRepeat` answers true, because a repeat opens no batch.
   * The caller must call `end` of the answer, and say whether a batch was made.
   */
  enter(tenant: string, isRepeat: () => Promise<boolean>): Promise<{ end(isMade: boolean): void }>;
}

/**
 * Open batches are the markers in the bucket plus the creates under way in this process. A batch that has just been stored may
 * count twice for a moment, so creates at the same time never pass the limit, but the last of them may be refused too early.
 */
export function createCreateLimits({
  batches,
  settingsOf,
  monotonicMs,
}: {
  batches: Pick<BatchStore, 'countOpen'>;
  settingsOf: TenantSettingsOf;
  monotonicMs: () => number;
}): CreateLimits {
  const hourly = createTokenBuckets({ perMs: 3_600_000, monotonicMs });
  const entering = new Map<string, number>();
  const enteringOf = (tenant: string) => entering.get(tenant) ?? 0;

  function leave(tenant: string): void {
    const left = enteringOf(tenant) - 1;
    if (left > 0) entering.set(tenant, left);
    else entering.delete(tenant);
  }

  /** Answers whether a token was taken. */
  async function takeToken(tenant: string, isRepeat: () => Promise<boolean>): Promise<boolean> {
    const { batchesPerHour } = settingsOf(tenant).limits;
    if (batchesPerHour === null) return false;
    const taken = hourly.take(tenant, batchesPerHour);
    if (taken.granted) return true;
    if (await isRepeat()) return false;
    throw rateLimited(`${batchesPerHour} batches per hour`, taken.waitMs / 1000);
  }

  async function checkOpen(tenant: string, position: number, isRepeat: () => Promise<boolean>): Promise<void> {
    const { maxOpenBatches } = settingsOf(tenant).limits;
    if (maxOpenBatches === null) return;
    const open = await batches.countOpen(tenant, maxOpenBatches);
    if (open + position > maxOpenBatches && !(await isRepeat())) throw tooManyOpenBatches(maxOpenBatches);
  }

  return {
    async enter(tenant, isRepeat) {
      const hasToken = await takeToken(tenant, isRepeat);
      // Creates that entered before come first, whether the count shows them already or not.
      const position = enteringOf(tenant) + 1;
      entering.set(tenant, position);
      const end = (isMade: boolean) => {
        leave(tenant);
        if (hasToken && !isMade) hourly.giveBack(tenant);
      };
      try {
        await checkOpen(tenant, position, isRepeat);
        return { end };
      } catch (error) {
        end(false);
        throw error;
      }
    },
  };
}
