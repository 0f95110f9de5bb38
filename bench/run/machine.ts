import { cpus, loadavg, totalmem } from 'node:os';

/** Cores, memory, Node and load, as they stand beside every figure. */
export function describeMachine(): string {
  const load = loadavg().map((value) => value.toFixed(1));
  return `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, load ${load.join(' ')}`;
}
