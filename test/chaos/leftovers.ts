import { bucketOf } from './bucket.ts';
import type { House } from './house.ts';

/** Everything below these prefixes that is not wanted. */
export async function leftovers(
  house: House,
  { below, wanted = new Set() }: { below: readonly string[]; wanted?: ReadonlySet<string> },
): Promise<string[]> {
  const bucket = bucketOf(house);
  return (await Promise.all(below.map((prefix) => bucket.keys(prefix)))).flat().filter((key) => !wanted.has(key));
}
