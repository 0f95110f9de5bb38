import { setTimeout as sleep } from 'node:timers/promises';
import { memoryMb } from './process-cost.ts';

/** Resident memory of each process in MB, the largest reading in each tenth of the time. */
export type MemoryOverTime = Record<string, number[]>;

const EVERY_MS = 250;
const PARTS = 10;

/** Reads the resident memory of these processes four times a second until `stop`, or until it is disposed. */
export function watchMemory(pids: Record<string, number | undefined>): AsyncDisposable & { stop(): Promise<MemoryOverTime> } {
  const readings = new Map<string, number[]>(Object.keys(pids).map((name) => [name, []]));
  const stopped = new AbortController();
  async function watch(): Promise<void> {
    while (!stopped.signal.aborted) {
      for (const [name, values] of readings) values.push(await memoryMb(pids[name], 'VmRSS'));
      await sleep(EVERY_MS, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  }
  const watching = watch();
  // Heard by whoever stops it, and until then by nobody.
  watching.catch(() => undefined);
  return {
    async stop() {
      stopped.abort();
      await watching;
      return Object.fromEntries([...readings].map(([name, values]) => [name, largestOfEachPart(values)]));
    },
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await watching.catch(() => undefined);
    },
  };
}

function largestOfEachPart(values: readonly number[]): number[] {
  return Array.from({ length: PARTS }, (_, part) => {
    const [from, to] = [Math.floor((part * values.length) / PARTS), Math.ceil(((part + 1) * values.length) / PARTS)];
    return Math.max(...values.slice(from, to));
  });
}
