import { tooManyOpenBatches } from '../domain/errors.ts';
import type { BatchStore } from '../storage/batch-store.ts';

/** How many batches of a tenant may be open at a time. */
export interface OpenBatchLimit {
  /**
   * Makes room for a batch and answers what gives it up again, to be called once the batch is stored or will not be. Throws the
   * 429 when there is none, unless it is a repeat, which opens no batch.
   */
  enter(tenant: string, isRepeat: () => Promise<boolean>): Promise<() => void>;
}

/**
 * Counted are the markers in the bucket and what this process is about to add. A batch that has just been stored may count twice
 * for a moment, so creates at the same time never pass the limit, but the last of them may be refused though there was room.
 */
export function createOpenBatchLimit({
  batches,
  maxOpenBatches,
}: {
  batches: Pick<BatchStore, 'countOpen'>;
  maxOpenBatches: number | null;
}): OpenBatchLimit {
  const entering = new Map<string, number>();
  const enteringOf = (tenant: string) => entering.get(tenant) ?? 0;

  return {
    async enter(tenant, isRepeat) {
      if (maxOpenBatches === null) return () => {};
      // Those who entered before come first, whether the count shows them already or not.
      const place = enteringOf(tenant) + 1;
      entering.set(tenant, place);
      const leave = () => {
        const left = enteringOf(tenant) - 1;
        if (left > 0) entering.set(tenant, left);
        else entering.delete(tenant);
      };
      try {
        const open = await batches.countOpen(tenant, maxOpenBatches);
        if (open + place > maxOpenBatches && !(await isRepeat())) throw tooManyOpenBatches(maxOpenBatches);
        return leave;
      } catch (error) {
        leave();
        throw error;
      }
    },
  };
}
