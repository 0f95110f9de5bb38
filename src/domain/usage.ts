import type { Usage } from './batch.ts';
import type { PlannedLine } from './plan.ts';
import type { PieceEntry } from './piece.ts';
import { cutText } from './shown-text.ts';

/** What requests came to. `requests` are those that have an outcome, `failed` those of them that failed. */
export interface UsageSums {
  requests: number;
  failed: number;
  input_tokens: number;
  output_tokens: number;
  total_tokens: number;
}

/** The sums of one model; null stands for requests that named none, and for the models that are not told apart any more. */
export interface ModelUsage extends UsageSums {
  model: string | null;
}

/** The same in a shard: by the number of the model in the plan. */
export interface NumberedUsage extends UsageSums {
  model: number;
}

/** Models that one batch tells apart, so that records stay small. Requests of further ones are summed under null. */
const MOST_MODELS = 100;
/** Characters of a model's name in sums: a client may write 4,096. */
const NAME_LENGTH = 255;

/** Gives models numbers in the order of their first lines. */
export interface ModelNumbers {
  of(model: string | null): number;
  readonly names: readonly (string | null)[];
}

export function createModelNumbers(known: readonly (string | null)[] = []): ModelNumbers {
  const names = [...known];
  const numbers = new Map(names.map((name, at) => [name, at]));
  return {
    names,
    of(model) {
      const name = model === null ? null : cutText(model, NAME_LENGTH);
      const known = numbers.get(name);
      if (known !== undefined) return known;
      if (names.length >= MOST_MODELS) return MOST_MODELS;
      numbers.set(name, names.length);
      return names.push(name) - 1;
    },
  };
}

/** The sums of a shard, ascending by model. `decided` has the outcome of each line that has one. */
export function shardUsage(
  lines: readonly Pick<PlannedLine, 'line' | 'model'>[],
  decided: ReadonlyMap<number, Pick<PieceEntry, 'outcome' | 'usage'>>,
): NumberedUsage[] {
  const sums = new Map<number, UsageSums>();
  for (const { line, model = 0 } of lines) {
    const entry = decided.get(line);
    if (entry === undefined) continue;
    const sum = sums.get(model) ?? noUsage();
    sums.set(model, addSums(sum, requestUsage(entry)));
  }
  return [...sums].sort(([a], [b]) => a - b).map(([model, sum]) => ({ model, ...sum }));
}

function requestUsage({ outcome, usage }: Pick<PieceEntry, 'outcome' | 'usage'>): UsageSums {
  return { requests: 1, failed: outcome === 'failed' ? 1 : 0, ...tokensOf(outcome === 'completed' ? usage : null) };
}

function tokensOf(usage: Usage | null): Omit<UsageSums, 'requests' | 'failed'> {
  return {
    input_tokens: usage?.input_tokens ?? 0,
    output_tokens: usage?.output_tokens ?? 0,
    total_tokens: usage?.total_tokens ?? 0,
  };
}

/** The sums of a batch out of those of its shards; `names` are the models of its plan. */
export function batchUsage(shards: readonly { models: readonly NumberedUsage[] }[], names: readonly (string | null)[]): ModelUsage[] {
  const sums = shards.flatMap(({ models }) => models.map(({ model, ...sum }) => ({ model: names[model] ?? null, ...sum })));
  return sumByModel(sums);
}

/** One entry per model, in the order of their first ones; from `most` models on, further ones are summed under null. */
export function sumByModel(usages: readonly ModelUsage[], most = Infinity): ModelUsage[] {
  const sums = new Map<string | null, UsageSums>();
  for (const { model, ...sum } of usages) {
    const name = sums.has(model) || sums.size < most ? model : null;
    sums.set(name, addSums(sums.get(name) ?? noUsage(), sum));
  }
  return [...sums].map(([model, sum]) => ({ model, ...sum }));
}

/** Requests and tokens that are there of a tenant on a day (`YYYY-MM-DD`, UTC). */
export interface DayUsage extends ModelUsage {
  tenant: string;
  day: string;
}

export const USAGE_GROUPS = ['day', 'model', 'tenant'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

/** The sums of one group; members that are not grouped by are absent. */
export type UsageRow = Partial<Pick<DayUsage, UsageGroup>> & UsageSums;

/** Sums days as they come. */
export interface UsageTable {
  add(usage: DayUsage): void;
  readonly size: number;
  /** Ordered by the groups, in the order in which they were given. */
  rows(): UsageRow[];
}

export function createUsageTable(groups: readonly UsageGroup[]): UsageTable {
  const rows = new Map<string, UsageRow>();
  return {
    add(usage) {
      const values = groups.map((group) => usage[group]);
      const key = JSON.stringify(values);
      const head: Partial<Pick<DayUsage, UsageGroup>> = Object.fromEntries(groups.map((group, at) => [group, values[at] ?? null]));
      rows.set(key, { ...head, ...addSums(rows.get(key) ?? noUsage(), usage) });
    },
    get size() {
      return rows.size;
    },
    rows: () => [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row),
  };
}

/** The day of a moment in Unix seconds, in UTC. */
export function dayOf(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString().slice(0, 10);
}

function noUsage(): UsageSums {
  return { requests: 0, failed: 0, input_tokens: 0, output_tokens: 0, total_tokens: 0 };
}

function addSums(a: UsageSums, b: UsageSums): UsageSums {
  return {
    requests: a.requests + b.requests,
    failed: a.failed + b.failed,
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    total_tokens: a.total_tokens + b.total_tokens,
  };
}
