import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks again and again until the answer is truthy and gives it back; fails, saying what it waited for, when the time is over. The time
 * between two questions grows from `everyMs` to `upToMs`, because each costs the servers some milliseconds; with `everyMs` alone it stays.
 */
export async function until<T>(
  ask: () => Promise<T> | T,
  { what, seconds = 60, everyMs, upToMs = everyMs ?? 250 }: { what: string; seconds?: number; everyMs?: number; upToMs?: number },
): Promise<NonNullable<T>> {
  const deadline = performance.now() + seconds * 1000;
  for (let waitMs = everyMs ?? 50; ; waitMs = Math.min(upToMs, waitMs * 1.2)) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`);
    await delay(waitMs);
  }
}
