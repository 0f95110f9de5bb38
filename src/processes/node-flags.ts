/**
 * What Node is told at the start of a process, because it cannot be told later. A young generation of V8's own size grows to
 * 128 MB on a large machine, in the isolate of the workflows too; the measured cost of a small one is in docs/decisions/013.
 */
export const NODE_FLAGS = {
  api: ['--max-semi-space-size=4'],
  worker: ['--max-semi-space-size=16'],
} as const;
