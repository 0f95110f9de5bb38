import { totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';

const MIB = 1024 * 1024;
/** A fifth of the memory: a workflow that hands out lines takes 0.6 MB (docs/decisions/019). */
const CACHED_PER_MIB = 0.3;
const [LEAST, MOST] = [100, 10_000];

/** Workflows to keep between their tasks where no setting says how many, for a process that may use this much memory. */
export function cachedWorkflows(memoryBytes: number): number {
  return Math.min(MOST, Math.max(LEAST, Math.floor((memoryBytes / MIB) * CACHED_PER_MIB)));
}

/** Bytes that this process may use: the limit of its container, or the memory of the machine. */
export function memoryLimit(): number {
  const limit = constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
