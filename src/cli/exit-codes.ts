import type { Batch } from '../domain/batch.ts';

/** Every exit code of the command line; docs/command-line.md lists them. */
export const EXIT = {
  ok: 0,
  /** The API refused the request, a file cannot be read, and everything else without a code of its own. */
  error: 1,
  /** The arguments or the settings are wrong. */
  usage: 2,
  /** The batch is completed, and some of its lines failed. */
  linesFailed: 3,
  /** The batch ended as `failed`, `expired` or `cancelled`. */
  notCompleted: 4,
  /** No API answered, or it could not serve now (429 or 5xx after all retries). */
  unreachable: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The exit code that tells how a batch ended; 0 while it has not ended. */
export function exitCodeOf({ status, request_counts: counts }: Pick<Batch, 'status' | 'request_counts'>): ExitCode {
  if (status === 'failed' || status === 'expired' || status === 'cancelled') return EXIT.notCompleted;
  return status === 'completed' && counts.failed > 0 ? EXIT.linesFailed : EXIT.ok;
}

/** The exit code for several batches: that of the worst end. */
export function worstExitCode(batches: readonly Pick<Batch, 'status' | 'request_counts'>[]): ExitCode {
  return worstOf(batches.map(exitCodeOf));
}

/** The worst of the exit codes that tell how batches ended. */
export function worstOf(codes: readonly ExitCode[]): ExitCode {
  return codes.find((code) => code === EXIT.notCompleted) ?? codes.find((code) => code === EXIT.linesFailed) ?? EXIT.ok;
}
