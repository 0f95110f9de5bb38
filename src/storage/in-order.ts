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

/**
 * The first `count` results that are not null, in the order of the items, or fewer once `isEnough` says so of one. It takes no more items than it needs for that, at
 * least `atLeast` at a time, and maps at most `limit` at once: a listing of as many keys as a page has is asked for one page.
 */
export async function firstMapped<T, R>(
  items: AsyncIterable<T>,
  {
    count,
    limit,
    atLeast = 1,
    isEnough = () => false,
  }: { count: number; limit: number; atLeast?: number; isEnough?: (result: R) => boolean },
  map: (item: T) => Promise<R | null>,
): Promise<R[]> {
  const found: R[] = [];
  const iterator = items[Symbol.asyncIterator]();
  try {
    while (found.length < count) {
      const taken = await take(iterator, Math.min(limit, Math.max(atLeast, count - found.length)));
      if (taken.length === 0) break;
      for (const result of await Promise.all(taken.map(map))) {
        if (result === null) continue;
        found.push(result);
        if (isEnough(result)) return found.slice(0, count);
      }
    }
  } finally {
    await iterator.return?.();
  }
  return found.slice(0, count);
}

async function take<T>(iterator: AsyncIterator<T>, most: number): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < most) {
    const next = await iterator.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}
