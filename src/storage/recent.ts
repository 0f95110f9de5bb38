/** Remembers the values used last. For what never changes in the bucket. */
export interface Recent<T> {
  get(key: string): T | undefined;
  set(key: string, value: T): void;
}

/** What a value and its key count against `max`. */
type Weigh<T> = (key: string, value: T) => number;

/**
 * Keeps values up to `max` in all, which `weigh` counts: entries unless it says otherwise. A value whose text a client chose is
 * weighed in bytes, because a number of entries bounds no memory then. A value heavier than `max` is not kept.
 */
export function createRecent<T>(max: number, weigh: Weigh<T> = () => 1): Recent<T> {
  // A Map iterates in the order of insertion, so the first key is the one not used for longest.
  const values = new Map<string, { value: T; weight: number }>();
  let total = 0;

  function drop(key: string): void {
    total -= values.get(key)?.weight ?? 0;
    values.delete(key);
  }

  function set(key: string, value: T): void {
    drop(key);
    const weight = weigh(key, value);
    if (weight > max) return;
    values.set(key, { value, weight });
    total += weight;
    for (const oldest of values.keys()) {
      if (total <= max) return;
      drop(oldest);
    }
  }

  return {
    set,
    get(key) {
      const found = values.get(key);
      if (found === undefined) return undefined;
      values.delete(key);
      values.set(key, found);
      return found.value;
    },
  };
}
