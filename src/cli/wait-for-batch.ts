import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, ApiUnreachable } from './api-client.ts';
import { createProgressLine } from './progress-line.ts';
import { type Batch, isTerminal } from '../domain/batch.ts';

/** Where progress is shown: rewritten in place on a terminal, else as plain lines. */
export type Screen = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;

const PLAIN_LINE_EVERY_MS = 5_000;

/** Polls a batch until it has ended and shows how far it is. Outlasts an API that is away for a while; ends early by the signal. */
export async function waitForBatch(client: ApiClient, id: string, screen: Screen, signal: AbortSignal): Promise<Batch> {
  const line = createProgressLine();
  const startedMs = performance.now();
  let [shown, shownMs] = ['', -Infinity];
  const show = (text: string, now: boolean) => {
    if (screen.isTTY) screen.write(`\r\x1b[K${text.slice(0, (screen.columns || 80) - 1)}`);
    else if (text !== shown && (now || performance.now() - shownMs >= PLAIN_LINE_EVERY_MS)) {
      screen.write(`${text}\n`);
      [shown, shownMs] = [text, performance.now()];
    }
  };

  let status: Batch['status'] | null = null;
  try {
    for (;;) {
      signal.throwIfAborted();
      try {
        const batch = await client.getBatch(id);
        show(line(batch, performance.now()), batch.status !== status);
        status = batch.status;
        if (isTerminal(batch.status)) return batch;
      } catch (error) {
        if (!(error instanceof ApiUnreachable)) throw error;
        show('the API does not answer, trying again', status !== null);
        status = null;
      }
      const intervalMs = performance.now() - startedMs < 30_000 ? 500 : 2_000;
      await delay(intervalMs, undefined, { signal });
    }
  } finally {
    if (screen.isTTY) screen.write('\n');
  }
}
