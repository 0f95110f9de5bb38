import { getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { mapInOrder } from './in-order.ts';
import { keys, prefixes } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import type { UpstreamFacts } from '../domain/upstream-facts.ts';

/** Which models upstreams serve: workers know it, and the API shows it. */
export interface ModelStore {
  /** Writes what is known of an upstream, and the names of the models it serves, where it has changed or was told long ago. */
  tell(upstream: UpstreamFacts, models: readonly string[]): Promise<void>;
  /** All models that were told of late, sorted by name; of two upstreams with the same one the first by name has it. */
  list(): Promise<ServedModel[]>;
  /** All upstreams that were told of late, in the order of the configuration. */
  upstreams(): Promise<UpstreamFacts[]>;
  /** Both lists from one read. */
  served(): Promise<Served>;
}

interface Served {
  models: ServedModel[];
  upstreams: UpstreamFacts[];
}

export interface ServedModel {
  model: string;
  upstream: string;
  /** When a worker told it first, Unix seconds. */
  since: number;
}

interface ToldModels {
  models: [model: string, since: number][];
  upstream: UpstreamFacts;
  atMs: number;
}

/** Models are told again after so long, although nothing has changed. */
const TELL_AGAIN_MS = 15 * 60_000;
/** An upstream of which no worker has told for so long has none any more. */
const FORGET_MS = 60 * 60_000;
/** A pace that changes by less is not told, because workers measure it all the time. */
const PACE_CHANGE = 1.25;

/** Models in a bucket. `nowMs` is the clock (Unix milliseconds). */
export function createModelStore({ store, nowMs }: { store: ObjectStore; nowMs: () => number }): ModelStore {
  async function readAll(): Promise<ToldModels[]> {
    const all: ToldModels[] = [];
    const told = mapInOrder(store.list(prefixes.models), READS_AT_A_TIME, async ({ key }) => await getJson<ToldModels>(store, key));
    for await (const found of told) if (found !== null && nowMs() - found.atMs <= FORGET_MS) all.push(found);
    return all;
  }

  return {
    async tell(given, models) {
      const key = keys.models(given.name);
      const found = await getJson<ToldModels>(store, key);
      // A worker that has not sent anything yet leaves the pace that others have found.
      const upstream = { ...given, answersPerSecond: given.answersPerSecond ?? found?.upstream.answersPerSecond ?? null };
      const isKnown =
        found !== null && isSame(found.upstream, upstream) && found.models.map(([model]) => model).join('\n') === models.join('\n');
      if (isKnown && nowMs() - found.atMs < TELL_AGAIN_MS) return;
      const now = Math.floor(nowMs() / 1000);
      const since = new Map(found?.models);
      const told: ToldModels = { models: models.map((model) => [model, since.get(model) ?? now]), upstream, atMs: nowMs() };
      await store.put(key, toJsonBytes(told));
    },

    list: async () => modelsOf(await readAll()),
    upstreams: async () => upstreamsOf(await readAll()),

    async served() {
      const all = await readAll();
      return { models: modelsOf(all), upstreams: upstreamsOf(all) };
    },
  };
}

function modelsOf(all: readonly ToldModels[]): ServedModel[] {
  const served = new Map<string, ServedModel>();
  for (const { models, upstream } of all) {
    for (const [model, since] of models) if (!served.has(model)) served.set(model, { model, upstream: upstream.name, since });
  }
  return [...served.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
}

function upstreamsOf(all: readonly ToldModels[]): UpstreamFacts[] {
  return all.map(({ upstream }) => upstream).sort((a, b) => a.place - b.place);
}

function isSame({ answersPerSecond: a, ...one }: UpstreamFacts, { answersPerSecond: b, ...other }: UpstreamFacts): boolean {
  const isSamePace = a === b || (a !== null && b !== null && a < b * PACE_CHANGE && b < a * PACE_CHANGE);
  return isSamePace && JSON.stringify(one) === JSON.stringify(other);
}
