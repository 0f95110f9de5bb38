import { setTimeout as delay } from 'node:timers/promises';
import { type Batch, type BatchRecord, isTerminal } from '../domain/batch.ts';
import type { BatchStore } from '../storage/batch-store.ts';
import type { LiveCounts } from './live-counts.ts';
import type { Slots } from './slots.ts';

/** Tells clients of the changes of a batch. However many watch a batch, it is read once a second. */
export interface BatchWatch {
  /** The batch as it is to be shown now. */
  now(record: BatchRecord): Promise<Batch>;
  /**
   * The batch as it is now, and then whenever it has changed, until it has ended, was deleted or the signal ends. A consumer that is slow
   * gets the latest state and not those between.
   */
  changes(record: BatchRecord, signal: AbortSignal): AsyncIterable<Batch>;
}

/** What a route needs that lets clients wait for a batch. */
export interface WaitDeps {
  batches: Pick<BatchStore, 'get'>;
  watch: BatchWatch;
  waits: Slots;
  /** Ends all waiting: the process is about to end. */
  draining: AbortSignal;
}

const LOOK_EVERY_MS = 1_000;

/** What all who watch a batch share. */
interface Watched {
  batch: Batch;
  text: string;
  isOver: boolean;
  watchers: number;
  /** Resolves at the next change. */
  changed: PromiseWithResolvers<void>;
}

/** Watches by reading: the record is what counts, whichever process changes it. */
export function createBatchWatch({ batches, liveCounts }: { batches: Pick<BatchStore, 'get'>; liveCounts: LiveCounts }): BatchWatch {
  const watched = new Map<string, Watched>();

  async function follow(record: BatchRecord, found: Watched): Promise<void> {
    const { tenant, batch } = record;
    while (found.watchers > 0 && !found.isOver) {
      await delay(LOOK_EVERY_MS);
      // A bucket that is away for a moment ends no watch.
      const next = await read(tenant, batch.id).catch(() => found.batch);
      const text = JSON.stringify(next);
      const isOver = next === null || isTerminal(next.status);
      if (text === found.text && !isOver) continue;
      Object.assign(found, { isOver, ...(next === null ? {} : { batch: next, text }) });
      found.changed.resolve();
      found.changed = Promise.withResolvers();
    }
    if (watched.get(batch.id) === found) watched.delete(batch.id);
  }

  async function read(tenant: string, id: string): Promise<Batch | null> {
    const record = await batches.get(tenant, id);
    return record === null ? null : await liveCounts.show(record);
  }

  function join(record: BatchRecord, batch: Batch): Watched {
    const known = watched.get(batch.id);
    if (known !== undefined && known.watchers > 0) {
      known.watchers += 1;
      return known;
    }
    const isOver = isTerminal(batch.status);
    const begun: Watched = { batch, text: JSON.stringify(batch), isOver, watchers: 1, changed: Promise.withResolvers() };
    watched.set(batch.id, begun);
    void follow(record, begun);
    return begun;
  }

  return {
    now: async (record) => await liveCounts.show(record),

    async *changes(record, signal) {
      const batch = await liveCounts.show(record);
      const found = join(record, batch);
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => end(), { once: true });
      let sent = JSON.stringify(batch);
      try {
        yield batch;
        while (!signal.aborted) {
          if (found.text !== sent) {
            sent = found.text;
            yield found.batch;
          } else if (found.isOver) return;
          else await Promise.race([found.changed.promise, ended]);
        }
      } finally {
        found.watchers -= 1;
      }
    },
  };
}
