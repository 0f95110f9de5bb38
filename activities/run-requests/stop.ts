import type { Context } from '@temporalio/activity';
import type { Standing } from '../../src/domain/pause.ts';
import { heartbeatTiming } from '../heartbeat-timing.ts';
import type { PauseDetector } from './pause-detector.ts';

/** Longest delay that a timer takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** How long results may still wait for the bucket after the last request was aborted. Temporal waits two minutes. */
const STORE_MS = 60_000;
/** How often a slice of a paused batch looks whether the batch has been cancelled, while requests are in flight. */
const LOOK_AGAIN_MS = 5_000;

/** Why and when a slice ends before its lines do. */
export interface SliceStop extends Disposable {
  /** Raised by cancel, a pause of the batch, end of the window, shutdown or a pause of the process: nothing new is sent. */
  readonly stopSending: AbortSignal;
  /** Raised at the end of the window, and when the grace after a cancel is over: what is in flight ends too. A paused batch lets it finish. */
  readonly abort: AbortSignal;
  /** Raised when what is not stored by now is lost. */
  readonly giveUp: AbortSignal;
  /** The batch is known to end or to be paused: nothing new is sent. */
  halt(): void;
}

/** Watches for everything that ends the slice of this activity. */
export function watchForStop(given: {
  context: Context;
  draining: AbortSignal;
  pauses: PauseDetector;
  nowMs: () => number;
  expiresAtMs: number;
  cancelGraceMs: number;
  /** What the batch does, null if unknown. Asked when the activity is cancelled, which does not say why. */
  standing: () => Promise<Standing | null>;
}): SliceStop {
  const { context, draining, pauses, nowMs, expiresAtMs, cancelGraceMs, standing } = given;
  const stopSending = new AbortController();
  const abort = new AbortController();
  const giveUp = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  let isOver = false;

  function after(ms: number, act: () => void): void {
    const timer = setTimeout(() => (timers.delete(timer), act()), Math.max(0, Math.min(ms, TIMER_MAX_MS)));
    timers.add(timer);
  }

  function stop(): void {
    stopSending.abort();
  }

  function end(): void {
    stop();
    if (abort.signal.aborted) return;
    abort.abort();
    after(STORE_MS, () => giveUp.abort());
  }

  function onCancel(): void {
    stop();
    // When the worker itself shuts down its grace is over already.
    if (context.cancellationDetails?.workerShutdown === true) after(0, end);
    else void beginGrace();
  }

  /** What a pause lets finish goes on finishing after the resume, so the grace begins only if the batch ends. */
  async function beginGrace(hasRested = false): Promise<void> {
    const found = await standing();
    if (isOver) return;
    if (found === 'paused' || (hasRested && found !== 'ending')) after(LOOK_AGAIN_MS, () => void beginGrace(true));
    else after(cancelGraceMs, end);
  }

  /** Windows may be longer than a timer. */
  function watchWindow(): void {
    const leftMs = expiresAtMs - nowMs();
    if (leftMs <= 0) end();
    else after(leftMs, watchWindow);
  }

  const { cancellationSignal } = context;
  const listening = pauses.listen(stop, heartbeatTiming(context.info.heartbeatTimeoutMs).pausedMs);
  draining.addEventListener('abort', stop);
  cancellationSignal.addEventListener('abort', onCancel);
  if (draining.aborted) stop();
  if (cancellationSignal.aborted) onCancel();
  watchWindow();

  return {
    stopSending: stopSending.signal,
    abort: abort.signal,
    giveUp: giveUp.signal,
    halt: stop,
    [Symbol.dispose]() {
      isOver = true;
      listening[Symbol.dispose]();
      draining.removeEventListener('abort', stop);
      cancellationSignal.removeEventListener('abort', onCancel);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
