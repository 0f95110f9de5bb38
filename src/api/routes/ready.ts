import type { ObjectStore } from '../../storage/object-store.ts';
import type { BatchRuns } from '../../temporal/batch-runs.ts';
import { type Logger, type Route, sendJson } from '../context.ts';
import { settledWithin } from '../../async/settled-within.ts';

/** Whoever has not answered by then counts as away. */
const PATIENCE_MS = 3000;
/** Age up to which an answer serves further requests: no key is needed, and each one asks bucket and Temporal. */
const FRESH_MS = 1000;

interface Deps {
  runs: Pick<BatchRuns, 'ping'>;
  objectStore: Pick<ObjectStore, 'ping'>;
  /** Raised when the process is about to end. */
  draining: AbortSignal;
  monotonicMs: () => number;
  logger: Logger;
}

/**
 * `GET /ready`: 200 while the bucket can be reached, else 503, and 503 once the process is about to end, so that load balancers send
 * nothing more. The body also says whether Temporal is there, without which the API goes on accepting files, batches and cancels.
 */
export function ready({ runs, objectStore, draining, monotonicMs, logger }: Deps): Route {
  let last: { atMs: number; found: Promise<{ temporal: boolean; bucket: boolean }> } | null = null;

  return async (ctx) => {
    // At once: nobody may have to wait for a Temporal that is away to be told so.
    if (draining.aborted) return sendJson(ctx, { ready: false, draining: true }, 503);
    if (last === null || monotonicMs() - last.atMs >= FRESH_MS) last = { atMs: monotonicMs(), found: ask() };
    const { temporal, bucket } = await last.found;
    sendJson(ctx, { ready: bucket, temporal, bucket }, bucket ? 200 : 503);
  };

  async function ask(): Promise<{ temporal: boolean; bucket: boolean }> {
    const [temporal, bucket] = await Promise.all([answers('temporal', runs.ping()), answers('bucket', objectStore.ping())]);
    return { temporal, bucket };
  }

  async function answers(what: string, ping: Promise<void>): Promise<boolean> {
    let isThere = false;
    const answered = ping.then(
      () => (isThere = true),
      (error: unknown) => logger.debug({ err: error }, `${what} is away`),
    );
    await settledWithin(answered, PATIENCE_MS);
    return isThere;
  }
}
