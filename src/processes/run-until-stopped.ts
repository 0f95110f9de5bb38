import type { Worker } from '@temporalio/worker';
import type { Logger } from '../telemetry/logger.ts';
import type { Shutdown } from './shutdown.ts';

/**
 * Runs a Temporal worker until it has stopped. One that fails ends the process, unless the process ends anyway: then nothing is lost that
 * a killed worker would not lose, and Temporal gives its work to others. The SDK fails so if Temporal goes away while a worker stops, for
 * instance with "Workflow execution context should have been disposed first".
 */
export async function runUntilStopped(
  worker: Pick<Worker, 'run' | 'getState'>,
  { shutdown, logger }: { shutdown: Pick<Shutdown, 'fail' | 'draining'>; logger: Pick<Logger, 'info' | 'warn'> },
): Promise<void> {
  try {
    await worker.run();
  } catch (error) {
    // All its work is done, and only the worker itself could not be taken apart: the SDK begins with that as soon as the last
    // poll is answered, when a thread of Temporal's core may still hold it ("Worker still in use: Expected 1 reference").
    if (worker.getState() === 'STOPPED') logger.info({ err: error }, 'a worker that has stopped is left as it is');
    else if (shutdown.draining.aborted)
      logger.warn({ err: error }, 'a worker failed while it stopped: other workers take over what it had in hand');
    else shutdown.fail(error);
  }
}
