import type OpenAI from 'openai';

const NEXT: Readonly<Record<string, readonly string[]>> = {
  validating: ['failed', 'in_progress', 'finalizing', 'cancelling', 'completed', 'expired', 'cancelled'],
  in_progress: ['finalizing', 'completed', 'cancelling', 'cancelled', 'expired'],
  finalizing: ['completed', 'cancelling', 'cancelled'],
  cancelling: ['cancelled'],
};
export const TERMINAL: readonly string[] = ['completed', 'failed', 'expired', 'cancelled'];
const TIMES = ['in_progress_at', 'finalizing_at', 'completed_at', 'failed_at', 'expired_at', 'cancelling_at', 'cancelled_at'] as const;

/** What may not be between two looks at the same batch. */
export function checkMove(before: OpenAI.Batch, now: OpenAI.Batch): string[] {
  const found: string[] = [];
  const what = `${now.id} from ${JSON.stringify(before)} to ${JSON.stringify(now)}`;
  if (before.status !== now.status && !NEXT[before.status]?.includes(now.status)) found.push(`illegal move of ${what}`);
  for (const time of TIMES) if (before[time] && before[time] !== now[time]) found.push(`${time} has changed: ${what}`);
  for (const count of ['total', 'completed', 'failed'] as const) {
    if ((now.request_counts?.[count] ?? 0) < (before.request_counts?.[count] ?? 0)) found.push(`${count} stepped back: ${what}`);
  }
  if (TERMINAL.includes(before.status) && JSON.stringify(before) !== JSON.stringify(now)) found.push(`changed after its end: ${what}`);
  return found;
}

/** A window ends by the clock, whatever time the record says. `seenAtMs` is Unix time. */
export function checkExpiry({ id, status, expires_at = Infinity }: OpenAI.Batch, seenAtMs: number): string[] {
  return status === 'expired' && seenAtMs < expires_at * 1000 ? [`${id} was expired before its window ended`] : [];
}
