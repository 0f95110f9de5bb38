import { settledWithin } from '../async/settled-within.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { ConfigError } from '../config/config-error.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Ends a process in order: what was opened last is closed first, and nothing may take longer than the deadline. */
export interface Shutdown {
  /** Raised by the first SIGTERM or SIGINT, before anything is closed. */
  readonly draining: AbortSignal;
  /** Closes something when it is its turn. */
  closes(what: string, close: () => Promise<void> | void): void;
  /** Begins the end without a signal; the exit code becomes 2 for a fault of the configuration, else 1. */
  fail(error: unknown): void;
  /** Resolves to the exit code when everything is closed or the deadline has passed. */
  ended(): Promise<number>;
}

/** Both keys of an impatient Ctrl-C, and npm passing on what the terminal sent already, come within this time. */
const SAME_SIGNAL_MS = 1_000;

/** Listens for signals. After `deadlineMs` the process ends with what is left open; a second signal ends it at once. */
export function createShutdown({ deadlineMs, logger }: { deadlineMs: number; logger: Logger }): Shutdown {
  const draining = new AbortController();
  const open: { what: string; close: () => Promise<void> | void }[] = [];
  let exitCode = 0;
  let firstSignalMs: number | null = null;

  const onSignal = (name: NodeJS.Signals) => {
    if (firstSignalMs === null) {
      firstSignalMs = performance.now();
      logger.info(`${name}: finishing what is in flight`);
      // Perhaps the end has begun already, because of a failure.
      return draining.abort();
    }
    if (performance.now() - firstSignalMs < SAME_SIGNAL_MS) return;
    logger.warn('ending at once');
    process.exit(130);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);

  async function closeAll(): Promise<void> {
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      try {
        await next.close();
      } catch (error) {
        logger.error({ err: error }, `${next.what} could not be closed`);
        exitCode = 1;
      }
    }
  }

  return {
    draining: draining.signal,
    closes: (what, close) => void open.push({ what, close }),
    fail(error) {
      // Nobody needs to be told that a process which is ending cannot go on.
      if (draining.signal.aborted) logger.error({ err: error }, 'this process does not end in order');
      else logger.fatal({ err: error }, 'this process cannot go on');
      exitCode = error instanceof ConfigError ? EXIT.usage : EXIT.error;
      draining.abort();
    },
    async ended() {
      if (!draining.signal.aborted) await new Promise((resolve) => draining.signal.addEventListener('abort', resolve, { once: true }));
      const isClosed = await settledWithin(closeAll(), deadlineMs);
      if (isClosed) logger.info('ended');
      else logger.warn({ deadline_ms: deadlineMs }, 'the deadline has passed: ending with work left');
      return isClosed ? exitCode : 1;
    },
  };
}
