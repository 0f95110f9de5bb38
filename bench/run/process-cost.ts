import { readFile } from 'node:fs/promises';

/** What a process cost up to now, as Linux accounts it. */
export interface ProcessCost {
  peakRssMb: number;
  cpuSeconds: number;
}

const TICKS_PER_SECOND = 100;

export async function processCost(pid: number | undefined): Promise<ProcessCost> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return {
    peakRssMb: Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024),
    cpuSeconds: (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND,
  };
}
