import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Resident memory of each process in MB, the largest reading in each tenth of the time. */
export type MemoryOverTime = Record<string, number[]>;

const EVERY_MS = 250;
const PARTS = 10;

/** Reads the resident memory of these processes four times a second until `stop`. */
export function watchMemory(pids: Record<string, number | undefined>): { stop(): Promise<MemoryOverTime> } {
  const readings: Record<string, number>[] = [];
  const stopped = new AbortController();
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      const now = await Promise.all(Object.entries(pids).map(async ([name, pid]) => [name, await residentMb(pid)] as const));
      readings.push(Object.fromEntries(now));
      await sleep(EVERY_MS, undefined, { signal: stopped.signal }).catch(() => {});
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await watching;
      return Object.fromEntries(
        Object.keys(pids).map((name) => [name, largestOfEachPart(readings.map((reading) => reading[name] ?? NaN))]),
      );
    },
  };
}

function largestOfEachPart(values: readonly number[]): number[] {
  return Array.from({ length: PARTS }, (_, part) => {
    const [from, to] = [part, part + 1].map((at) => Math.floor((at * values.length) / PARTS));
    return Math.max(...values.slice(from, Math.max(to ?? 0, (from ?? 0) + 1)));
  });
}

async function residentMb(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
