import { type LogLevel, type LogMetadata, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { Logger } from '../telemetry/logger.ts';

/**
 * Makes the SDK write to our log and leave signals to us: once per process, before anything connects. With `metricsAddress` it serves its
 * metrics there.
 */
export function installTemporalRuntime(logger: Logger, metricsAddress: string | null): void {
  const write = (level: 'trace' | 'debug' | 'info' | 'warn' | 'error') => (message: string, meta?: LogMetadata) =>
    logger[level](logFields(meta), message);
  const warn = write('warn');
  const byLevel = {
    TRACE: write('trace'),
    DEBUG: write('debug'),
    INFO: write('info'),
    WARN: (message: string, meta?: LogMetadata) => {
      // The workers of the upstreams are meant to be without workflows.
      if (!message.startsWith('No workflows registered')) warn(message, meta);
    },
    ERROR: write('error'),
  };
  Runtime.install({
    logger: {
      log: (level: LogLevel, message: string, meta?: LogMetadata) => byLevel[level](message, meta),
      trace: byLevel.TRACE,
      debug: byLevel.DEBUG,
      info: byLevel.INFO,
      warn: byLevel.WARN,
      error: byLevel.ERROR,
    },
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
      ...(metricsAddress === null ? {} : { metrics: { prometheus: { ...CONVENTIONS, bindAddress: metricsAddress } } }),
    },
    shutdownSignals: [],
  });
}

/** Names and units as Prometheus has them. */
const CONVENTIONS = { countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true } as const;

/** The SDK's metadata as fields of a line, without what nobody can read; its errors go where our log looks for them. */
function logFields({ error, taskToken: _, ...rest }: LogMetadata = {}): Record<string, unknown> {
  return error === undefined ? rest : { ...rest, err: error };
}
