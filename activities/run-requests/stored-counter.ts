import type { Failure } from '../../src/domain/failures.ts';
import type { CountedShard } from '../record-counts.ts';

/** Failures that are new wait this long for more, because each confirmation costs Temporal a heartbeat. */
const GATHER_MS = 1_000;

/** Counts what a slice has stored while it runs, so that one slow line does not hide the results of the others. */
export interface StoredCounter {
  stored(line: number, outcome: 'completed' | 'failed', failure?: Failure): void;
  /** Resolves when all that is stored counts, as far as it may count before the shard is closed. Comes before the slice returns. */
  settle(): Promise<void>;
}

/**
 * An answer counts at once, because closing a shard prefers it to any other result. A failure counts only if no other attempt can answer
 * the line: none had it before (`isContested`), and Temporal takes this attempt for the current one after the failure was stored
 * (`confirm`). An attempt that begins later finds it in a piece. Failures that do not count are counted when the shard is closed.
 */
export function createStoredCounter(given: {
  counted: Pick<CountedShard, 'add' | 'ended'>;
  isContested: boolean;
  confirm: () => Promise<boolean>;
  customIdOf: (line: number) => string;
}): StoredCounter {
  const { counted, isContested, confirm, customIdOf } = given;
  let failed: { line: number; failure: Failure | undefined }[] = [];
  let timer: NodeJS.Timeout | null = null;

  async function confirmFailed(): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (failed.length === 0) return;
    const lines = failed;
    failed = [];
    if (!(await confirm())) return void failed.push(...lines);
    for (const { line, failure } of lines) {
      counted.add(line, 'failed', failure === undefined ? undefined : { failure, customId: customIdOf(line) });
    }
  }

  return {
    stored(line, outcome, failure) {
      counted.ended();
      if (outcome === 'completed') counted.add(line, outcome);
      else if (!isContested) {
        failed.push({ line, failure });
        timer ??= setTimeout(() => void confirmFailed(), GATHER_MS);
      }
    },
    settle: confirmFailed,
  };
}
