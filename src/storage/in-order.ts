/**
 * Maps items with at most `limit` calls running, and answers in the order of the items. It reads ahead by as many; the first
 * call that fails ends it.
 */
export async function* mapInOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const running: Promise<R>[] = [];
  for await (const item of items) {
    const result = map(item);
    // Whoever comes to it in order gets the error; until then, or if nobody ever does, it must not count as unhandled.
    result.catch(() => {});
    running.push(result);
    if (running.length < limit) continue;
    const [first] = running.splice(0, 1);
    if (first !== undefined) yield await first;
  }
  for (const result of running) yield await result;
}
