/** What a test file took in an earlier run. */
export interface Cost {
  seconds: number;
  cpuSeconds: number;
}

/** A file that no run has recorded yet is taken for one that computes for this long. */
const UNKNOWN: Cost = { seconds: 20, cpuSeconds: 20 };
const LEAST_LOAD = 0.1;
/** For so long a file starts servers, which takes a core whatever it does later. */
const START_MS = 5_000;

/** Hands out test files so that the processor stays busy: the longest first, and files that wait beside files that compute. */
export interface Schedule {
  /** The file to start now; null when none fits beside what runs. One may fit later, also before another has finished. */
  next(): string | null;
  finished(file: string): void;
}

/**
 * Fills `cores` with files by the load that each had on average, with at most `maxFiles` at a time, of which no more than there are
 * cores start their servers. A file that fits nowhere runs alone.
 */
export function createSchedule(
  files: readonly string[],
  costs: Readonly<Record<string, Cost>>,
  { cores, maxFiles, nowMs }: { cores: number; maxFiles: number; nowMs: () => number },
): Schedule {
  const costOf = (file: string) => costs[file] ?? UNKNOWN;
  const loadOf = (file: string) => Math.max(LEAST_LOAD, costOf(file).cpuSeconds / costOf(file).seconds);
  const waiting = files.toSorted((a, b) => costOf(b).seconds - costOf(a).seconds);
  /** When each was started. */
  const running = new Map<string, number>();
  return {
    next() {
      const starting = [...running.values()].filter((startedMs) => nowMs() - startedMs < START_MS).length;
      if (running.size >= maxFiles || starting >= cores) return null;
      const load = [...running.keys()].reduce((sum, file) => sum + loadOf(file), 0);
      const fits = (file: string) => running.size === 0 || load + loadOf(file) <= cores;
      const index = waiting.findIndex(fits);
      const [file = null] = index === -1 ? [] : waiting.splice(index, 1);
      if (file !== null) running.set(file, nowMs());
      return file;
    },
    finished: (file) => void running.delete(file),
  };
}
