import { setTimeout as delay } from 'node:timers/promises';
import { pauseOf } from '../domain/upstream-pauses.ts';
import type { PauseStore } from '../storage/pause-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Upstream } from '../upstream/upstream.ts';

/** One read of a small object for each worker process. */
const LOOK_EVERY_MS = 2_000;

interface Following {
  pauses: Pick<PauseStore, 'read'>;
  upstreams: readonly Pick<Upstream, 'name' | 'pause'>[];
  logger: Pick<Logger, 'info' | 'warn'>;
}

/** Holds requests to those upstreams back that operators have paused, and lets the others go. */
export async function applyPauses({ pauses, upstreams, logger }: Following): Promise<void> {
  const found = await pauses.read();
  for (const upstream of upstreams) {
    const pause = pauseOf(found, upstream.name);
    if (JSON.stringify(pause) === JSON.stringify(upstream.pause)) continue;
    upstream.pause = pause;
    const at = { upstream: upstream.name };
    if (pause === null) logger.info(at, 'an operator has resumed the upstream');
    else logger.info({ ...at, paused: pause.what, since: pause.since }, 'an operator has paused the upstream: requests wait');
  }
}

/** Applies pauses every few seconds, until the signal ends. While the bucket is away, what was read last holds. */
export async function followPauses(given: Following & { signal: AbortSignal; lookEveryMs?: number }): Promise<void> {
  const { logger, signal, lookEveryMs = LOOK_EVERY_MS } = given;
  let isAway = false;
  while (!signal.aborted) {
    await delay(lookEveryMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await applyPauses(given);
      isAway = false;
    } catch (error) {
      if (!isAway) logger.warn({ err: error }, 'the worker could not read what operators have paused: what it read last holds');
      isAway = true;
    }
  }
}
