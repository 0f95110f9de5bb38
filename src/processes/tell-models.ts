import type { ModelLists } from '../domain/model-list.ts';
import { createNameTable } from '../domain/name-table.ts';
import type { ModelStore } from '../storage/model-store.ts';
import type { UpstreamConfig } from '../config/upstreams-file.ts';

/** Tells the API which models the upstreams serve: those that the operator names, aliases included, and those that servers list. */
export async function tellModels(
  upstreams: readonly Pick<UpstreamConfig, 'name' | 'models' | 'aliases'>[],
  { lists, models }: { lists: ModelLists; models: Pick<ModelStore, 'tell'> },
): Promise<void> {
  for (const { name, models: named, aliases } of upstreams) {
    const patterns = (named ?? ['*']).filter((model) => model.includes('*'));
    const listed = patterns.length === 0 ? [] : ((await lists.of(name)) ?? []).filter((model) => isServed(model, patterns));
    const exact = (named ?? []).filter((model) => !model.includes('*'));
    await models.tell(name, [...new Set([...exact, ...Object.keys(aliases ?? {}), ...listed])].toSorted());
  }
}

function isServed(model: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => createNameTable([[pattern, true] as const])(model) !== null);
}
