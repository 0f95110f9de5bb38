import type { SliceStatus } from './slice-status.ts';

const CHECK_EVERY_MS = 3_000;
/** So many new results are reported at the first check. Fewer wait for the second, because most small slices return before it. */
const MANY = 8;

/**
 * Reports what a slice of several lines has stored while it runs, so that one slow line does not hide the results of the others.
 * Calls `report` only after new results, and never for a slice that returns within three seconds: each report costs Temporal a write.
 */
export function reportCounts(status: Pick<SliceStatus, 'stored'>, report: () => void): Disposable {
  const total = () => status.stored.completed + status.stored.failed;
  // What pieces had at the start is news: the attempt before may not have reported it.
  let reported = 0;
  let checks = 0;
  const timer = setInterval(() => {
    checks += 1;
    const news = total() - reported;
    if (news === 0 || (checks === 1 && news < MANY)) return;
    reported += news;
    report();
  }, CHECK_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
