import type OpenAI from 'openai';
import type { CancelAnswer } from './load.ts';
import { type MadeInput, WINDOW_SECONDS } from './make-input.ts';

type Asked = Pick<MadeInput, 'window' | 'wrongLine'>;

/** Whether a batch came to the one end that its input, its window and every answer to a cancel of it leave; answers what is wrong. */
export function checkEnd(batch: OpenAI.Batch, { window, wrongLine }: Asked, cancels: readonly CancelAnswer[]): string[] {
  const complaints: string[] = [];
  const complain = (what: string) => void complaints.push(`${batch.id} ended as ${batch.status}: ${what}`);

  const { completion_window, created_at, expires_at = 0, expired_at = 0 } = batch;
  if (completion_window !== window || expires_at - created_at !== WINDOW_SECONDS[window])
    complain(`asked for ${window}, it was given ${completion_window} and ${expires_at - created_at} s`);
  if (wrongLine !== null && batch.in_progress_at) complain(`it ran, although its line ${wrongLine} is wrong`);
  // What is answered `cancelling` is a promise; what is not answered may have been heard or not.
  if (cancels.some((answer) => answer === 'cancelling' || answer === 'cancelled') && batch.status !== 'cancelled')
    complain('a cancel of it was accepted');

  switch (batch.status) {
    case 'completed':
      if (wrongLine !== null) complain(`its line ${wrongLine} is wrong`);
      break;
    case 'failed': {
      const lines = batch.errors?.data?.map(({ line }) => line) ?? [];
      if (wrongLine === null) complain(`its input is right: ${JSON.stringify(batch.errors)}`);
      else if (lines.join() !== String(wrongLine)) complain(`its line ${wrongLine} is wrong: ${JSON.stringify(batch.errors)}`);
      break;
    }
    case 'expired':
      if (window === '24h') complain('its window lasts a day');
      if (expired_at < expires_at) complain(`at ${expired_at}, with time until ${expires_at}`);
      break;
    case 'cancelled':
      if (cancels.length === 0) complain('nobody asked for it');
      if (cancels.includes('refused')) complain('a cancel of it was refused, which only one that ended otherwise does');
      break;
    default:
      complain('this is no end');
  }
  return complaints;
}
