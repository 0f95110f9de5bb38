import { readFile } from 'node:fs/promises';

/** What a process cost up to now, as Linux accounts it. */
export interface ProcessCost {
  peakRssMb: number;
  cpuSeconds: number;
}

const TICKS_PER_SECOND = 100;

export async function processCost(pid: number | undefined): Promise<ProcessCost> {
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return {
    peakRssMb: await memoryMb(pid, 'VmHWM'),
    cpuSeconds: (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND,
  };
}

/** Memory of a process that Linux calls so: `VmHWM` is the most that was resident, `VmRSS` what is. */
export async function memoryMb(pid: number | undefined, name: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
}
