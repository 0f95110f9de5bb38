import type { Logger } from '../telemetry/logger.ts';

/**
 * Logs an error that no code caught, thrown or rejected, as one line before the process ends with code 1. The process cannot go
 * on: whatever the error interrupted is half done. Node alone would print a stack that no log collector reads as one event.
 */
export function endOnUncaught(logger: Pick<Logger, 'fatal'>): void {
  process.on('uncaughtException', (error, origin) => {
    try {
      logger.fatal({ err: error, origin }, 'uncaught error: this process ends');
    } finally {
      process.exit(1);
    }
  });
}
