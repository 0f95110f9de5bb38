import { NOTHING_PAUSED, type UpstreamPauses } from '../domain/upstream-pauses.ts';
import { getJson } from './json-objects.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { upsertJson } from './update-json.ts';

/** What operators have paused: one object, which workers read every few seconds. */
export interface PauseStore {
  read(): Promise<UpstreamPauses>;
  /** Changes it by compare-and-set; null from `change`, which must be pure, changes nothing. Answers how it stands then. */
  update(change: (found: UpstreamPauses) => UpstreamPauses | null): Promise<UpstreamPauses>;
}

export function createPauseStore({ store }: { store: ObjectStore }): PauseStore {
  return {
    read: async () => (await getJson<UpstreamPauses>(store, keys.pauses)) ?? NOTHING_PAUSED,
    update: async (change) => await upsertJson(store, keys.pauses, NOTHING_PAUSED, change),
  };
}
