import type { CountedShard } from '../record-counts.ts';

/** Failures that are new wait this long for more, because each confirmation costs Temporal a heartbeat. */
const GATHER_MS = 1_000;

/** Counts what a slice has stored while it runs, so that one slow line does not hide the results of the others. */
export interface StoredCounter {
  stored(line: number, outcome: 'completed' | 'failed'): void;
  /** Resolves when all that is stored counts, as far as it may count before the shard is closed. Comes before the slice returns. */
  settle(): Promise<void>;
}

/**
 * An answer counts at once, because closing a shard prefers it to any other result. A failure counts only if no other attempt can answer
 * the line: none had it before (`isContested`), and Temporal takes this attempt for the current one after the failure was stored
 * (`confirm`). An attempt that begins later finds it in a piece. Failures that do not count are counted when the shard is closed.
 */
export function createStoredCounter(given: {
  counted: Pick<CountedShard, 'add'>;
  isContested: boolean;
  confirm: () => Promise<boolean>;
}): StoredCounter {
  const { counted, isContested, confirm } = given;
  let failed: number[] = [];
  let timer: NodeJS.Timeout | null = null;

  async function confirmFailed(): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (failed.length === 0) return;
    const lines = failed;
    failed = [];
    if (await confirm()) for (const line of lines) counted.add(line, 'failed');
    else failed.push(...lines);
  }

  return {
    stored(line, outcome) {
      if (outcome === 'completed') counted.add(line, outcome);
      else if (!isContested) {
        failed.push(line);
        timer ??= setTimeout(() => void confirmFailed(), GATHER_MS);
      }
    },
    settle: confirmFailed,
  };
}
