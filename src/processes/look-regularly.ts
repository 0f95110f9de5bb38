import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../telemetry/logger.ts';

/** With the first sweep that follows, a lost database costs the batches less than a minute. */
const LOOK_EVERY_MS = 30_000;
/** By then Temporal knows that this worker polls. */
const FIRST_LOOK_MS = 5_000;

/** Looks at Temporal now and then: a database that was lost gets its schedule and attributes again, and workers come and go. */
export async function lookRegularly(look: () => Promise<void>, signal: AbortSignal, logger: Logger): Promise<void> {
  for (let waitMs = FIRST_LOOK_MS; !signal.aborted; waitMs = LOOK_EVERY_MS) {
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    await look().catch((error: unknown) => logger.warn({ err: error }, 'the worker could not read from Temporal; it tries again in 30 s'));
  }
}
