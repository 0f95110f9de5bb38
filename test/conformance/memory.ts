import { readFile } from 'node:fs/promises';

/** The most memory that a process ever had resident, in bytes; from `/proc`. */
export async function peakBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const [, kib] = /VmHWM:\s+(\d+) kB/.exec(status) ?? [];
  if (kib === undefined) throw new Error(`the memory of process ${pid} is not known`);
  return Number(kib) * 1024;
}
