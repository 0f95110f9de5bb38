/** Waits for a promise, but no longer than so many milliseconds. Rejects as the promise does if that comes first. */
export async function settledWithin(done: Promise<unknown>, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([done, promise]).finally(() => clearTimeout(timer));
}
