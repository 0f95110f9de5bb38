import { setTimeout as delay } from 'node:timers/promises';

/** A process and what it gets to end by itself after SIGTERM. */
export interface Ending {
  pid: number;
  graceMs: number;
}

/** Ends processes one after the other, so that each finds those that it needs to finish its work. */
export async function endInOrder(endings: readonly Ending[]): Promise<void> {
  for (const { pid, graceMs } of endings) {
    send(pid, 'SIGTERM');
    const deadline = performance.now() + graceMs;
    while (send(pid, 0) && performance.now() < deadline) await delay(25);
    if (!send(pid, 'SIGKILL')) continue;
    while (send(pid, 0) && performance.now() < deadline + 5_000) await delay(25);
  }
}

/** Sends a signal (0 only looks); false when there is no such process. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
