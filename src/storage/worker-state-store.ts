import { HISTORY_MS, type WorkerState } from '../domain/worker-state.ts';
import { mapInOrder } from './in-order.ts';
import { getJson, READS_AT_A_TIME, toJsonBytes } from './json-objects.ts';
import { keys, prefixes } from './keys.ts';
import type { ObjectStore } from './object-store.ts';

/** What workers tell of themselves: one small object for each process. */
export interface WorkerStateStore {
  write(workerId: string, state: WorkerState): Promise<void>;
  /** What all workers of the last hour told last. */
  list(): Promise<WorkerState[]>;
  /** Removes what workers told that have been gone for more than an hour. */
  removeOld(nowMs: number): Promise<void>;
}

export function createWorkerStateStore({ store }: { store: ObjectStore }): WorkerStateStore {
  return {
    write: async (workerId, state) => await store.put(keys.worker(workerId), toJsonBytes(state)),
    async list() {
      const states: WorkerState[] = [];
      const told = mapInOrder(store.list(prefixes.workers), READS_AT_A_TIME, async ({ key }) => await getJson<WorkerState>(store, key));
      for await (const state of told) if (state !== null) states.push(state);
      return states;
    },
    async removeOld(nowMs) {
      const old: string[] = [];
      for await (const { key, lastModified } of store.list(prefixes.workers)) {
        if (nowMs - lastModified.getTime() > HISTORY_MS) old.push(key);
      }
      if (old.length > 0) await store.remove(old);
    },
  };
}
