import { readFile, writeFile } from 'node:fs/promises';

/** The most memory that a process had resident since `forgetPeak`, or ever, in bytes; from `/proc`. */
export async function peakBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const [, kib] = /VmHWM:\s+(\d+) kB/.exec(status) ?? [];
  if (kib === undefined) throw new Error(`the memory of process ${pid} is not known`);
  return Number(kib) * 1024;
}

/** Makes what a process has resident now its peak, so that the next peak is that of what comes. */
export async function forgetPeak(pid: number | undefined): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}
