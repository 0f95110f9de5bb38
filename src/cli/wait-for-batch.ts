import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { apiAway } from './api-away.ts';
import type { Screen } from './output.ts';
import { describeWaiting } from './describe-batch.ts';
import { oneLine } from './terminal-text.ts';
import { createProgressLine, createStatusLine } from './progress-line.ts';
import { type Batch, isTerminal } from '../domain/batch.ts';

export interface WaitOptions {
  /** Where progress is shown; null shows none. */
  screen: Screen | null;
  signal: AbortSignal;
  /** Stands before the progress, such as `[2/3] `. */
  prefix?: string;
  /** Replaced in tests. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The interval between two polls grows from the first to the second, and begins anew when the status changes. */
const POLL_MS = { first: 500, longest: 5_000, factor: 1.3 };
/** Asks the API to answer at the next change, and after so many seconds at the latest: less than the client waits for an answer. */
const WAIT_SECONDS = 10;
/** An API that keeps an answer back for so long knows `wait`, and sets the pace. */
const KEPT_BACK_MS = 900;

/** Asks for a batch until it has ended, and shows how far it is. Waits while the API is away or busy, as long as it asks for. */
export async function waitForBatch(client: Pick<ApiClient, 'getBatch'>, id: string, options: WaitOptions): Promise<Batch> {
  const { screen, signal, prefix = '' } = options;
  const sleep = options.sleep ?? (async (ms, aborted) => await delay(ms, undefined, { signal: aborted }));
  const progress = createProgressLine();
  const line = screen === null ? null : createStatusLine(screen);
  const show = (variants: readonly string[], isNews: boolean) =>
    line?.show(
      variants.map((each) => prefix + each),
      isNews,
    );

  let status: Batch['status'] | null = null;
  let [intervalMs, failures] = [POLL_MS.first, 0];
  try {
    for (;;) {
      signal.throwIfAborted();
      try {
        const askedMs = performance.now();
        const batch = await client.getBatch(id, { retries: 0, waitSeconds: status === null ? 0 : WAIT_SECONDS });
        const isNews = batch.status !== status;
        const isKeptBack = performance.now() - askedMs >= KEPT_BACK_MS;
        show(progress(batch, performance.now()), isNews);
        line?.notes(describeWaiting(batch).map((text) => `  ${oneLine(text)}`));
        if (isTerminal(batch.status)) return batch;
        intervalMs = isNews || isKeptBack || failures > 0 ? POLL_MS.first : Math.min(POLL_MS.longest, intervalMs * POLL_MS.factor);
        [status, failures] = [batch.status, 0];
        await sleep(intervalMs, signal);
      } catch (error) {
        signal.throwIfAborted();
        const { waitMs, variants } = apiAway(error, failures);
        show(variants, failures === 0);
        failures += 1;
        await sleep(waitMs, signal);
      }
    }
  } finally {
    line?.end();
  }
}
