import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { isTransient } from './api-fault.ts';
import { batchesOf, type Group, sumOf } from './group.ts';
import type { Output } from './output.ts';
import { createProgressLine, createStatusLine, duration } from './progress-line.ts';
import { type Batch, isTerminal } from '../domain/batch.ts';

/** A round asks for each batch that has not ended. */
const ROUND_MS = { first: 1_000, longest: 10_000, factor: 1.3 };
const ASKED_AT_A_TIME = 8;
const AWAY_MS = { first: 500, longest: 15_000, factor: 2 };

/** Polls the batches of a group until all have ended, and shows how far they are together. Names each batch that ends otherwise than completed. */
export async function waitForGroup(
  client: Pick<ApiClient, 'getBatch'>,
  group: Group,
  { output, signal, sleep = wait }: { output: Pick<Output, 'screen' | 'note'>; signal: AbortSignal; sleep?: typeof wait },
): Promise<Group> {
  const progress = createProgressLine();
  const line = output.screen === null ? null : createStatusLine(output.screen);
  const newest = new Map(batchesOf(group).map((batch) => [batch.id, batch]));
  const current = (): Group => ({
    ...group,
    parts: group.parts.map((part) => ({ ...part, batches: part.batches.map((batch) => newest.get(batch.id) ?? batch) })),
  });
  let [intervalMs, failures] = [ROUND_MS.first, 0];
  try {
    for (;;) {
      signal.throwIfAborted();
      const open = [...newest.values()].filter(({ status }) => !isTerminal(status));
      const ended = newest.size - open.length;
      const prefix = `[${ended}/${newest.size} batches] `;
      line?.show(
        progress(sumOf(current()), performance.now()).map((each) => prefix + each),
        open.length === 0,
      );
      if (open.length === 0) return current();
      try {
        const endedNow = await askAll(client, open, newest);
        for (const { id, status } of endedNow)
          if (status !== 'completed') output.note(`\n${id} is ${status}. Why: nightshift status ${id}`);
        intervalMs = endedNow.length > 0 ? ROUND_MS.first : Math.min(ROUND_MS.longest, intervalMs * ROUND_MS.factor);
        failures = 0;
        await sleep(intervalMs, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isTransient(error)) throw error;
        const waitMs = Math.max(Math.min(AWAY_MS.longest, AWAY_MS.first * AWAY_MS.factor ** failures), error.retryAfterMs ?? 0);
        const what = error.status === null ? 'the API does not answer' : `the API answers ${error.status}`;
        line?.show([`${prefix}${what}, trying again in ${duration(waitMs / 1000)}`], failures === 0);
        failures += 1;
        await sleep(waitMs, signal);
      }
    }
  } finally {
    line?.end();
  }
}

/** Asks for each of these, some at a time, and answers those that have ended. */
async function askAll(client: Pick<ApiClient, 'getBatch'>, open: readonly Batch[], newest: Map<string, Batch>): Promise<Batch[]> {
  const ended: Batch[] = [];
  for (let at = 0; at < open.length; at += ASKED_AT_A_TIME) {
    const some = await Promise.all(open.slice(at, at + ASKED_AT_A_TIME).map(async ({ id }) => await client.getBatch(id, { retries: 0 })));
    for (const batch of some) newest.set(batch.id, batch);
    ended.push(...some.filter(({ status }) => isTerminal(status)));
  }
  return ended;
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}
