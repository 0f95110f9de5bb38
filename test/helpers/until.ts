import { setTimeout as delay } from 'node:timers/promises';

/** Asks again and again until the answer is truthy and gives it back; fails, saying what it waited for, when the time is over. */
export async function until<T>(
  ask: () => Promise<T> | T,
  { what, seconds = 60, everyMs = 50 }: { what: string; seconds?: number; everyMs?: number },
): Promise<NonNullable<T>> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`);
    await delay(everyMs);
  }
}
