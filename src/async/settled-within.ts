/** Waits for a promise, but no longer than so many milliseconds. Answers whether it came in time; rejects as the promise does if that comes first. */
export async function settledWithin(done: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, ms, false);
  return await Promise.race([done.then(() => true), promise]).finally(() => clearTimeout(timer));
}
