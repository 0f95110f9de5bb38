import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../telemetry/logger.ts';

/** Tries until it works, every second; one line says that it waits and one that it is over. Rejects when the signal ends it. */
export async function retryUntilUp<T>(
  what: string,
  attempt: () => Promise<T>,
  { logger, signal }: { logger: Logger; signal: AbortSignal },
): Promise<T> {
  let isWaiting = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      const result = await attempt();
      if (isWaiting) logger.info(`${what} is there`);
      return result;
    } catch (error) {
      signal.throwIfAborted();
      if (isWaiting) logger.debug({ err: error }, `${what} is still away`);
      else logger.warn({ reason: error instanceof Error ? error.message : String(error) }, `${what} is away: trying every second`);
      isWaiting = true;
    }
    await delay(1000, undefined, { signal });
  }
}
