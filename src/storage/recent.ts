/** Remembers the values used last, `size` of them at most. For what never changes in the bucket. */
export interface Recent<T> {
  get(key: string): T | undefined;
  set(key: string, value: T): void;
}

export function createRecent<T>(size: number): Recent<T> {
  // A Map iterates in the order of insertion, so the first key is the one not used for longest.
  const values = new Map<string, T>();
  function set(key: string, value: T): void {
    values.delete(key);
    values.set(key, value);
    if (values.size <= size) return;
    for (const oldest of values.keys()) return void values.delete(oldest);
  }
  return {
    set,
    get(key) {
      const value = values.get(key);
      if (value !== undefined) set(key, value);
      return value;
    },
  };
}
