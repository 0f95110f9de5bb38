/** What a test file took in an earlier run. */
export interface Cost {
  seconds: number;
  cpuSeconds: number;
}

/** A file that no run has recorded yet is taken for one that computes for this long. */
const UNKNOWN: Cost = { seconds: 20, cpuSeconds: 20 };
const LEAST_LOAD = 0.1;

/** Hands out test files so that the processor stays busy: the longest first, and files that wait beside files that compute. */
export interface Schedule {
  /** The file to start now; null when none fits beside what runs. */
  next(): string | null;
  finished(file: string): void;
}

/**
 * Fills `cores` with files by the load that each had on average, with at most `maxFiles` at a time. A file that fits nowhere
 * runs alone.
 */
export function createSchedule(
  files: readonly string[],
  costs: Readonly<Record<string, Cost>>,
  { cores, maxFiles }: { cores: number; maxFiles: number },
): Schedule {
  const costOf = (file: string) => costs[file] ?? UNKNOWN;
  const loadOf = (file: string) => Math.max(LEAST_LOAD, costOf(file).cpuSeconds / costOf(file).seconds);
  const waiting = files.toSorted((a, b) => costOf(b).seconds - costOf(a).seconds);
  const running = new Set<string>();
  return {
    next() {
      if (running.size >= maxFiles) return null;
      const load = [...running].reduce((sum, file) => sum + loadOf(file), 0);
      const fits = (file: string) => running.size === 0 || load + loadOf(file) <= cores;
      const index = waiting.findIndex(fits);
      const [file = null] = index === -1 ? [] : waiting.splice(index, 1);
      if (file !== null) running.add(file);
      return file;
    },
    finished: (file) => void running.delete(file),
  };
}
