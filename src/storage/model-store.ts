import { getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { mapInOrder } from './in-order.ts';
import { keys, prefixes } from './keys.ts';
import type { ObjectStore } from './object-store.ts';

/** Which models upstreams serve: workers know it, and the API shows it. */
export interface ModelStore {
  /** Writes the models of an upstream where they have changed, or were told long ago. */
  tell(upstream: string, models: readonly string[]): Promise<void>;
  /** All models that were told of late, sorted by name; of two upstreams with the same one the first by name has it. */
  list(): Promise<ServedModel[]>;
}

export interface ServedModel {
  model: string;
  upstream: string;
  /** When a worker told it first, Unix seconds. */
  since: number;
}

interface ToldModels {
  models: [model: string, since: number][];
  atMs: number;
}

/** Models are told again after so long, although nothing has changed. */
const TELL_AGAIN_MS = 15 * 60_000;
/** An upstream of which no worker has told for so long has none any more. */
const FORGET_MS = 60 * 60_000;

/** Models in a bucket. `nowMs` is the clock (Unix milliseconds). */
export function createModelStore({ store, nowMs }: { store: ObjectStore; nowMs: () => number }): ModelStore {
  return {
    async tell(upstream, models) {
      const key = keys.models(upstream);
      const found = await getJson<ToldModels>(store, key);
      const isKnown = found !== null && found.models.map(([model]) => model).join('\n') === models.join('\n');
      if (isKnown && nowMs() - found.atMs < TELL_AGAIN_MS) return;
      const now = Math.floor(nowMs() / 1000);
      const since = new Map(found?.models);
      const told: ToldModels = { models: models.map((model) => [model, since.get(model) ?? now]), atMs: nowMs() };
      await store.put(key, toJsonBytes(told));
    },

    async list() {
      const served = new Map<string, ServedModel>();
      const told = mapInOrder(store.list(prefixes.models), READS_AT_A_TIME, async ({ key }) => ({
        key,
        told: await getJson<ToldModels>(store, key),
      }));
      for await (const { key, told: found } of told) {
        if (found === null || nowMs() - found.atMs > FORGET_MS) continue;
        const upstream = key.slice(prefixes.models.length);
        for (const [model, since] of found.models) {
          if (!served.has(model)) served.set(model, { model, upstream, since });
        }
      }
      return [...served.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
    },
  };
}
