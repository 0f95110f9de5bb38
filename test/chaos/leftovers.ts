import { bucketOf } from './bucket.ts';
import type { House } from './house.ts';
import type { Part } from './part.ts';

/** Past every age after which the sweep takes what was left behind. */
const LATER_MS = 25 * 3_600_000;
const LATER = `const now = Date.now; Date.now = () => now() + ${LATER_MS};`;

/** Everything below these prefixes that is not wanted. */
export async function leftovers(
  house: House,
  { below, wanted = new Set() }: { below: readonly string[]; wanted?: ReadonlySet<string> },
): Promise<string[]> {
  const bucket = bucketOf(house);
  return (await Promise.all(below.map((prefix) => bucket.keys(prefix)))).flat().filter((key) => !wanted.has(key));
}

/** Starts a worker whose clock is a day ahead, and which sweeps every other second. */
export async function startADayLater(worker: Part): Promise<void> {
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(LATER)}`;
  worker.env = { ...worker.env, NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '2', NODE_OPTIONS };
  await worker.start();
}
