import type { ObjectStore } from '../../storage/object-store.ts';
import type { BatchRuns } from '../../temporal/batch-runs.ts';
import { type Logger, type Route, sendJson } from '../context.ts';
import { settledWithin } from '../settled-within.ts';

/** Whoever has not answered by then counts as away. */
const PATIENCE_MS = 3000;

/** `GET /ready`: 200 while bucket and Temporal can be reached, else 503; the body says which one is away. */
export function ready({ runs, objectStore, logger }: { runs: BatchRuns; objectStore: Pick<ObjectStore, 'ping'>; logger: Logger }): Route {
  return async (ctx) => {
    const [temporal, bucket] = await Promise.all([answers('temporal', runs.ping()), answers('bucket', objectStore.ping())]);
    const isReady = temporal && bucket;
    sendJson(ctx, { ready: isReady, temporal, bucket }, isReady ? 200 : 503);
  };

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
