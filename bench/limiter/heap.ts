interface Entry {
  readonly at: number;
  readonly order: number;
}

/** The least `at` first, and of equal ones the least `order`. */
export interface Heap<T extends Entry> {
  readonly first: T | undefined;
  add(entry: T): void;
  removeFirst(): void;
}

/** An empty heap. */
export function createHeap<T extends Entry>(): Heap<T> {
  const entries: T[] = [];
  return {
    get first() {
      return entries[0];
    },
    add(entry) {
      let at = entries.length;
      for (; at > 0; at = (at - 1) >> 1) {
        const parent = entries[(at - 1) >> 1];
        if (parent === undefined || !isBefore(entry, parent)) break;
        entries[at] = parent;
      }
      entries[at] = entry;
    },
    removeFirst() {
      const last = entries.pop();
      if (last === undefined || entries.length === 0) return;
      let at = 0;
      for (;;) {
        const [left, right] = [entries[2 * at + 1], entries[2 * at + 2]];
        if (left === undefined) break;
        const child = right !== undefined && isBefore(right, left) ? right : left;
        if (!isBefore(child, last)) break;
        entries[at] = child;
        at = child === left ? 2 * at + 1 : 2 * at + 2;
      }
      entries[at] = last;
    },
  };
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.at === other.at ? one.order < other.order : one.at < other.at;
}
