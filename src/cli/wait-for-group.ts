import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { apiAway } from './api-away.ts';
import { batchesOf, type Group, sumOf } from './group.ts';
import type { Output } from './output.ts';
import { createProgressLine, createStatusLine } from './progress-line.ts';
import { type Batch, isTerminal } from '../domain/batch.ts';

/** A round asks for each batch that has not ended. */
const ROUND_MS = { first: 1_000, longest: 10_000, factor: 1.3 };
const ASKED_AT_A_TIME = 8;

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
  // Told at once, because a later question of the same round may fail.
  const onEnd = ({ id, status }: Batch) => {
    if (status !== 'completed') output.note(`\n${id} is ${status}. Why: nightshift status ${id}`);
  };
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
        const endedNow = await askAll(client, open, { newest, onEnd });
        intervalMs = endedNow > 0 ? ROUND_MS.first : Math.min(ROUND_MS.longest, intervalMs * ROUND_MS.factor);
        failures = 0;
        await sleep(intervalMs, signal);
      } catch (error) {
        signal.throwIfAborted();
        const { waitMs, variants } = apiAway(error, failures);
        line?.show(
          variants.map((each) => prefix + each),
          failures === 0,
        );
        failures += 1;
        await sleep(waitMs, signal);
      }
    }
  } finally {
    line?.end();
  }
}

/** Asks for each of these, some at a time, and answers how many have ended. */
async function askAll(
  client: Pick<ApiClient, 'getBatch'>,
  open: readonly Batch[],
  { newest, onEnd }: { newest: Map<string, Batch>; onEnd: (batch: Batch) => void },
): Promise<number> {
  let endedNow = 0;
  const ask = async ({ id }: Batch) => {
    const batch = await client.getBatch(id, { retries: 0 });
    newest.set(id, batch);
    if (!isTerminal(batch.status)) return;
    endedNow += 1;
    onEnd(batch);
  };
  for (let at = 0; at < open.length; at += ASKED_AT_A_TIME) {
    // All of them answer before a failure is thrown: none is asked twice at a time.
    const asked = await Promise.allSettled(open.slice(at, at + ASKED_AT_A_TIME).map(ask));
    for (const each of asked) if (each.status === 'rejected') throw each.reason;
  }
  return endedNow;
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}
