/** Does `work` on each item, with at most `limit` running. The first failure ends it, so `work` handles those of single items. */
export async function atATime<T>(limit: number, items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  async function lane(): Promise<void> {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await work(next.value);
  }
  await Promise.all(Array.from({ length: limit }, lane));
}
