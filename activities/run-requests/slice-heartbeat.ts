import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatTiming } from '../heartbeat-timing.ts';

/** A heartbeat that nothing holds back is on its way to the server at once. */
const FLUSH_MS = 500;
const CONFIRM_MS = 2_000;

/** The heartbeats of a slice. */
export interface SliceHeartbeat extends Disposable {
  /** Beats out of turn; Temporal delivers it with the end of the attempt at the latest. */
  beat(): void;
  /** Beats and waits until the server knows, or should know; rejects when the signal ends first. */
  beatAndFlush(signal: AbortSignal): Promise<void>;
  /** Asks Temporal whether this attempt is still the current one. False also when it does not answer within two seconds. */
  confirm(): Promise<boolean>;
}

/** What it needs of the context of an activity. */
interface HeartbeatContext {
  heartbeat(details: object): void;
  readonly info: { readonly taskToken: Uint8Array; readonly heartbeatTimeoutMs?: number };
  readonly client: { readonly activity: { heartbeat(taskToken: Uint8Array, details: object): Promise<void> } };
}

/**
 * Beats as often as the heartbeat timeout of the activity asks for (`heartbeatTiming`), with what `details` returns then, until disposed.
 * The worker holds heartbeats back for `throttleMs`.
 */
export function startSliceHeartbeat(context: HeartbeatContext, throttleMs: number, details: () => object): SliceHeartbeat {
  const { firstMs, everyMs } = heartbeatTiming(context.info.heartbeatTimeoutMs);
  let hasBeaten = false;
  const beat = () => {
    hasBeaten = true;
    context.heartbeat(details());
  };
  let timer = setTimeout(function again() {
    beat();
    timer = setTimeout(again, everyMs);
  }, firstMs);
  /** Past the throttle of the worker, and answered by the server. */
  async function tellAtOnce(): Promise<void> {
    await context.client.activity.heartbeat(context.info.taskToken, details());
  }

  return {
    beat,
    async confirm() {
      const over = new AbortController();
      const taken = tellAtOnce().then(
        () => true,
        () => false,
      );
      try {
        return await Promise.race([taken, delay(CONFIRM_MS, false, { signal: over.signal, ref: false })]);
      } finally {
        over.abort();
      }
    },
    async beatAndFlush(signal) {
      // The first heartbeat of an attempt goes out at once, a later one may be held back for the throttle interval.
      const waitMs = (hasBeaten ? throttleMs : 0) + FLUSH_MS;
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
