import { onAbort } from './on-abort.ts';

/** Longest delay that a timer takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Waits, until the signal ends it early. Never rejects. For signals that thousands wait on. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      forget();
      resolve();
    };
    const timer = setTimeout(end, Math.min(ms, TIMER_MAX_MS));
    const forget = onAbort(signal, end);
  });
}
