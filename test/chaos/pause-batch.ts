import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from './client.ts';

/** Longer than any outage of a run. */
const RESUME_WITHIN_MS = 180_000;

/**
 * Pauses a batch for so long and resumes it, whatever is away meanwhile: a batch that stayed paused would not end. Answers whether the
 * pause was answered with 200, or what is wrong with an answer.
 */
export async function pauseBatch(
  client: Client,
  { tenant, id, forMs }: { tenant: string; id: string; forMs: number },
): Promise<{ isPaused: boolean; complaints: string[] }> {
  const post = async (call: 'pause' | 'resume') => await client.ask(tenant, 'POST', `/v1/batches/${id}/${call}`);
  const complaints: string[] = [];
  const check = (call: string, status: number) => {
    if (![200, 408, 409, 429, 503].includes(status)) complaints.push(`a ${call} was answered ${status}`);
  };
  const reply = await post('pause');
  if (reply !== null) check('pause', reply.status);
  await delay(forMs);
  // A pause that was not answered may have been carried out.
  for (const untilMs = Date.now() + RESUME_WITHIN_MS; ; await delay(500)) {
    const resumed = await post('resume');
    if (resumed !== null) check('resume', resumed.status);
    if (resumed !== null && [200, 409].includes(resumed.status)) break;
    if (Date.now() > untilMs) {
      complaints.push(`${id} could not be resumed`);
      break;
    }
  }
  return { isPaused: reply?.status === 200, complaints };
}
