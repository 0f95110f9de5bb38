import { open, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** Age at which a lock that nobody refreshes belongs to a process that is gone. */
const STALE_MS = 10_000;

/**
 * Runs `work` while no other process on this machine runs it under the same lock file. Waits for its turn; the lock of a
 * process that died is taken over.
 */
export async function withLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      await (await open(path, 'wx')).close();
      break;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const held = await stat(path).catch(() => null);
    // NOTE: two processes may take over at once and both do the work; its result is renamed into place, so that is harmless.
    if (held !== null && Date.now() - held.mtimeMs > STALE_MS) await rm(path, { force: true });
    else await delay(100, undefined, { signal });
  }
  const refresh = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), STALE_MS / 5);
  try {
    return await work();
  } finally {
    clearInterval(refresh);
    await rm(path, { force: true });
  }
}
