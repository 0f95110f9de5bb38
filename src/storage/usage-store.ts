import type { Batch, BatchRecord } from '../domain/batch.ts';
import { type DayUsage, dayOf, type ModelUsage, sumByModel } from '../domain/usage.ts';
import { mapInOrder } from './in-order.ts';
import { getJson, READS_AT_A_TIME } from './json-objects.ts';
import { keys, prefixes } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { upsertJson } from './update-json.ts';

/** Requests and tokens by tenant and day. They stay when batches and files are deleted. */
export interface UsageStore {
  /** Counts a batch that has ended, on the day of its end and once, however often it is called. */
  add(record: BatchRecord): Promise<void>;
  /** The usage of one tenant, or of all for null, from the first to the last of these days (`YYYY-MM-DD`). */
  read(query: { tenant: string | null; from: string; to: string }): AsyncIterable<DayUsage>;
}

/** A part of a day. It names the batches that it counts, so that none counts twice. */
interface StoredUsage {
  batches: string[];
  models: ModelUsage[];
}

/** Models that a part of a day tells apart: batches may name whatever they like. */
const MOST_MODELS_A_DAY = 300;

/** The usage in a bucket. A day is cut into sixteen objects, so that many ends at once and many batches a day stay cheap. */
export function createUsageStore(store: ObjectStore): UsageStore {
  async function* tenants(): AsyncIterable<string> {
    for await (const folder of store.listFolders(prefixes.usage)) yield folder.slice(0, -1);
  }

  async function* keysOf(tenant: string, { from, to }: { from: string; to: string }): AsyncIterable<{ key: string; day: string }> {
    const prefix = keys.usages(tenant);
    for await (const { key } of store.list(prefix, { startAfter: prefix + from })) {
      const day = key.slice(prefix.length).split('/', 1)[0] ?? '';
      if (day > to) return;
      yield { key, day };
    }
  }

  async function* readTenant(tenant: string, days: { from: string; to: string }): AsyncIterable<DayUsage> {
    const read = async ({ key, day }: { key: string; day: string }) => ({ day, found: await getJson<StoredUsage>(store, key) });
    for await (const { day, found } of mapInOrder(keysOf(tenant, days), READS_AT_A_TIME, read)) {
      for (const usage of found?.models ?? []) yield { ...usage, tenant, day };
    }
  }

  return {
    async add({ tenant, batch, usage_by_model: usage = [] }) {
      if (usage.length === 0) return;
      const key = keys.usage(tenant, dayOf(endOf(batch)), batch.id.slice(-1));
      const counted = ({ batches, models }: StoredUsage): StoredUsage | null =>
        batches.includes(batch.id)
          ? null
          : { batches: [...batches, batch.id], models: sumByModel([...models, ...usage], MOST_MODELS_A_DAY) };
      await upsertJson(store, key, { batches: [], models: [] }, counted);
    },

    async *read({ tenant, ...days }) {
      if (tenant !== null) return yield* readTenant(tenant, days);
      for await (const each of tenants()) yield* readTenant(each, days);
    },
  };
}

/** When a batch ended, in Unix seconds. */
function endOf({ completed_at, failed_at, expired_at, cancelled_at, created_at }: Batch): number {
  return completed_at ?? failed_at ?? expired_at ?? cancelled_at ?? created_at;
}
