import type { Worker } from '@temporalio/worker';
import type { Logger } from '../logger.ts';
import type { Shutdown } from './shutdown.ts';

/** Runs a Temporal worker until it has stopped. One that fails ends the process. */
export async function runUntilStopped(
  worker: Pick<Worker, 'run' | 'getState'>,
  { shutdown, logger }: { shutdown: Pick<Shutdown, 'fail'>; logger: Pick<Logger, 'info'> },
): Promise<void> {
  try {
    await worker.run();
  } catch (error) {
    // All its work is done, and only the worker itself could not be taken apart: the SDK begins with that as soon as the last
    // poll is answered, when a thread of Temporal's core may still hold it ("Worker still in use: Expected 1 reference").
    if (worker.getState() === 'STOPPED') logger.info({ err: error }, 'a worker that has stopped is left as it is');
    else shutdown.fail(error);
  }
}
