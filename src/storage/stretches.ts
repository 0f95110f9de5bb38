import { mapInOrder } from './in-order.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';

/** Objects of a thousand that may fail, each after a long wait, before the others are left to a later sweep as well. */
const FAILURES_BORNE = 3;
/** How far one call goes. */
export interface Stretch {
  /** Objects up to this key were looked at before; '' for none. */
  after: string;
  /** Whether the time of this call is up: it then stops at the next object. */
  isOver: () => boolean;
  /** Throws when whoever called is gone. */
  check: () => void;
  /** Hears of a key once everything up to it has been looked at. */
  reached: (key: string) => void;
}

export interface Cleaned {
  /** How many things it removed. */
  removed: number;
  /** Whether it came to the end; otherwise another call goes on after the last key that it `reached`. */
  isDone: boolean;
}

type Progress = 'finished' | 'unfinished' | void;

/** How the sweep goes over objects of `store`: some at a time, until its time is up, and past those that fail. */
export function createStretches({ store, onFailure }: { store: ObjectStore; onFailure: (key: string, error: unknown) => void }) {
  /** What `work` on one object answers; null when it failed. */
  async function tried<T>(key: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      onFailure(key, error);
      return null;
    }
  }

  /** Whether the work on one object was done. */
  async function isDone(key: string, work: () => Promise<void>): Promise<boolean> {
    return (await tried(key, async () => (await work(), true))) === true;
  }

  /** Removes keys together; one at a time where that fails, so that one object keeps no other back. Answers how many are gone. */
  async function removeAll(all: readonly string[], { check, isOver }: Stretch): Promise<number> {
    try {
      await store.remove(all);
      return all.length;
    } catch {
      let [removed, failures] = [0, 0];
      for (const key of all) {
        check();
        if (isOver()) break;
        if (await isDone(key, async () => await store.remove([key]))) removed += 1;
        else if (++failures === FAILURES_BORNE) break;
      }
      return removed;
    }
  }

  async function removeListed(listed: AsyncIterable<ListedObject>, stretch: Stretch): Promise<Cleaned> {
    let removed = 0;
    let some: string[] = [];
    const flush = async () => {
      stretch.check();
      removed += await removeAll(some, stretch);
      stretch.reached(some.at(-1) ?? stretch.after);
      some = [];
    };
    for await (const { key } of listed) {
      some.push(key);
      if (some.length < 1000) continue;
      await flush();
      if (stretch.isOver()) return { removed, isDone: false };
    }
    if (some.length > 0) await flush();
    return { removed, isDone: true };
  }

  /**
   * Maps items, which know their key, some at a time; `done` gets each result in order. Answers whether it came to the end before the
   * time was up. An item that `done` calls `unfinished` is the first one of the next stretch.
   */
  async function inOrder<T extends { key: string }, R>(
    items: Iterable<T> | AsyncIterable<T>,
    limit: number,
    map: (item: T) => Promise<R>,
    { check, isOver, reached }: Stretch,
    done: (result: R, item: T) => Promise<Progress> | Progress,
  ): Promise<boolean> {
    for await (const [item, result] of mapInOrder(items, limit, async (item) => [item, await map(item)] as const)) {
      check();
      if ((await done(result, item)) !== 'unfinished') reached(item.key);
      if (isOver()) return false;
    }
    return true;
  }

  return { tried, isDone, inOrder, removeListed };
}
