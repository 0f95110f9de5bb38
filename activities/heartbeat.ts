import { setImmediate as nextTurn } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { heartbeatTiming } from './heartbeat-timing.ts';

/** Work without a pause that heartbeats, cancels and other activities of the process can bear. */
const TURN_MS = 20;

/** Heartbeats of a long activity, and its manners towards the others. */
export interface Heartbeat extends Disposable {
  /** Ends when `check` would throw. */
  readonly signal: AbortSignal;
  /**
   * To be called between steps of work: lets others have their turn every 20 ms. Throws when the activity was cancelled or
   * Temporal has given it up. Answers a promise only where there is something to wait for.
   */
  step(): Promise<void> | void;
  /** As `step`, where nothing can wait: only throws. */
  check(): void;
}

/** Beats as often as the heartbeat timeout of the activity asks for, with what `details` returns then, until disposed. */
export function startHeartbeat(details: () => Record<string, unknown>): Heartbeat {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(details()), heartbeatTiming(context.info.heartbeatTimeoutMs).everyMs);
  let turnBegan = performance.now();
  const check = () => context.cancellationSignal.throwIfAborted();
  async function pause(): Promise<void> {
    await nextTurn();
    turnBegan = performance.now();
  }
  return {
    signal: context.cancellationSignal,
    check,
    step() {
      check();
      return performance.now() - turnBegan < TURN_MS ? undefined : pause();
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
