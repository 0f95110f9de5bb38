import { setTimeout as delay } from 'node:timers/promises';
import { HEARTBEAT_THROTTLE_MS } from './deps.ts';

/** Short slices, which are most, never beat at all: each heartbeat is a transaction of the server. */
const FIRST_BEAT_MS = 8_000;
const BEAT_EVERY_MS = 5_000;
/** A heartbeat that nothing holds back is on its way to the server at once. */
const FLUSH_MS = 500;

/** The heartbeats of a slice. */
export interface SliceHeart extends Disposable {
  /** Beats out of turn; Temporal delivers it with the end of the attempt at the latest. */
  beat(): void;
  /** Beats and waits until the server knows, or should know; rejects when the signal ends first. */
  beatAndFlush(signal: AbortSignal): Promise<void>;
  /** Sends the details past the throttle of the worker, which would hold them back for up to ten seconds. */
  sendNow(): void;
}

/** What it needs of the context of an activity. */
interface Beating {
  heartbeat(details: object): void;
  readonly info: { readonly taskToken: Uint8Array };
  readonly client: { readonly activity: { heartbeat(taskToken: Uint8Array, details: object): Promise<void> } };
}

/** Beats first after 8 s, then every 5 s, with what `details` says then, until disposed. */
export function startSliceHeart(context: Beating, details: () => object): SliceHeart {
  let hasBeaten = false;
  const beat = () => {
    hasBeaten = true;
    context.heartbeat(details());
  };
  let timer = setTimeout(function again() {
    beat();
    timer = setTimeout(again, BEAT_EVERY_MS);
  }, FIRST_BEAT_MS);
  /** Past the throttle of the worker, and answered by the server. */
  async function tellAtOnce(): Promise<void> {
    await context.client.activity.heartbeat(context.info.taskToken, details());
  }

  return {
    beat,
    sendNow() {
      // The worker sends the first heartbeat at once and holds later ones back.
      const isHeldBack = hasBeaten;
      beat();
      // If the call fails, the next heartbeat brings the details.
      if (isHeldBack) tellAtOnce().catch(() => undefined);
    },
    async beatAndFlush(signal) {
      // The first heartbeat of an attempt goes out at once, a later one may be held back for the throttle interval.
      const waitMs = (hasBeaten ? HEARTBEAT_THROTTLE_MS : 0) + FLUSH_MS;
      beat();
      const told = Promise.withResolvers<void>();
      const over = new AbortController();
      // Refused, it is for the heartbeat above to hear why.
      tellAtOnce().then(told.resolve, () => undefined);
      try {
        await Promise.race([told.promise, delay(waitMs, undefined, { signal: AbortSignal.any([signal, over.signal]) })]);
      } finally {
        over.abort();
      }
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
