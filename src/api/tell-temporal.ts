import type { Logger } from './context.ts';
import { settledWithin } from '../async/settled-within.ts';

/** Longest that a client waits for Temporal: the record is written, and the record is the promise. */
const PATIENCE_MS = 500;

/**
 * Waits a moment for a call to Temporal. That it fails is a warning and no error: the sweep starts what nobody started and
 * repeats the signal that nobody heard.
 */
export async function tellTemporal(
  call: Promise<void>,
  { logger, what, batchId }: { logger: Logger; what: string; batchId: string },
): Promise<void> {
  const told = call.catch((error: unknown) =>
    logger.warn({ batch: batchId, err: error }, `Temporal was not told to ${what}; the sweep will do it`),
  );
  await settledWithin(told, PATIENCE_MS);
}
