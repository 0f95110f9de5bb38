import type { ModelLists } from '../domain/model-list.ts';
import { createNameTable } from '../domain/name-table.ts';
import type { ModelStore } from '../storage/model-store.ts';
import type { UpstreamConfig } from '../config/upstreams-file.ts';

/** Tells the API what it needs to know of the upstreams, and which models they serve: those that the operator names, aliases included, and those that servers list. */
export async function tellModels(
  upstreams: readonly Pick<UpstreamConfig, 'name' | 'models' | 'aliases' | 'requestsPerMinute'>[],
  {
    lists,
    models,
    answersPerSecond,
  }: { lists: ModelLists; models: Pick<ModelStore, 'tell'>; answersPerSecond: (name: string) => number | null },
): Promise<void> {
  for (const [place, { name, models: named, aliases, requestsPerMinute }] of upstreams.entries()) {
    const all = await lists.of(name);
    const patterns = (named ?? ['*']).filter((model) => model.includes('*'));
    const listed = patterns.length === 0 ? [] : (all ?? []).filter((model) => isServed(model, patterns));
    const exact = (named ?? []).filter((model) => !model.includes('*'));
    await models.tell(
      { name, place, models: named, aliases, listed: all, requestsPerMinute, answersPerSecond: answersPerSecond(name) },
      [...new Set([...exact, ...Object.keys(aliases), ...listed])].toSorted(),
    );
  }
}

function isServed(model: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => createNameTable([[pattern, true] as const])(model) !== null);
}
