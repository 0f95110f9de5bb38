import { CancellationScope, condition, defineSignal, isCancellation, setHandler, sleep, TemporalFailure } from '@temporalio/workflow';
import { type BatchStatus, isTerminal } from '../src/domain/batch.ts';
import { isNotAfter } from '../src/domain/lifecycle.ts';
import { saveBatch } from './activities.ts';
import {
  type BatchInput,
  CANCEL_SIGNAL,
  CHANGED_SIGNAL,
  PAUSE_SIGNAL,
  RESUME_SIGNAL,
  type SaveBatchInput,
  type SavedBatch,
  type SavedPause,
} from './contract.ts';

const cancelSignal = defineSignal(CANCEL_SIGNAL);
const changedSignal = defineSignal(CHANGED_SIGNAL);
const pauseSignal = defineSignal(PAUSE_SIGNAL);
const resumeSignal = defineSignal(RESUME_SIGNAL);
const READ_AGAIN_MS = 10_000;

/** Why a batch stops handing out lines, for good or for a while, and what stops with it. */
export interface Ending {
  /** Null while the batch goes on; `expired` may still become `cancelled`, never the reverse. */
  readonly reason: 'cancelled' | 'expired' | null;
  /** Whether somebody cancelled the workflow itself, from the Temporal UI or CLI. */
  readonly native: boolean;
  /** Whether the batch is paused. One that ends is not. */
  readonly paused: boolean;
  /** End of the completion window as far as it is known; later where a pause stops it. */
  readonly expiresAtMs: number;
  /** Reads (`to: null`) or moves the record and follows what is found. */
  save(to: SaveBatchInput['to'], counts?: SaveBatchInput['counts']): Promise<SavedBatch>;
  /** Follows the record as some other activity found it. */
  see(saved: SavedBatch): void;
  /** Calls `stop` when the batch ends, and again if the reason changes, until the function that it returns is called. */
  onEnd(stop: () => void): () => void;
  /** Calls `hold` whenever the batch is paused, until the function that it returns is called. */
  onPause(hold: () => void): () => void;
  /** What `work` answers; null when the batch ends meanwhile, which cancels it. */
  orNull<T>(work: () => Promise<T>): Promise<T | null>;
}

/**
 * Listens from the first moment on for the ways in which a batch ends early or rests: signals, cancellation of the workflow itself, and
 * the end of the window. It never decides that a batch is cancelled or paused: it reads the record, which does.
 */
export function watchForEnding(input: BatchInput, onStatus: (status: BatchStatus, isPaused: boolean) => void): Ending {
  let reason: Ending['reason'] = null;
  let native = false;
  let calls = 0;
  /** What an operator wants by hand, and the record does not say yet. */
  let wish: boolean | null = null;
  let last: BatchStatus = 'validating';
  let pause: SavedPause | null = null;
  let { expiresAtMs } = input;
  let isWindowDone = false;
  const stops = new Set<() => void>();
  const holds = new Set<() => void>();
  const call = (): void => void (calls += 1);
  const callFor = (wanted: boolean) => () => {
    wish = wanted;
    call();
  };
  setHandler(cancelSignal, call);
  setHandler(changedSignal, call);
  setHandler(pauseSignal, callFor(true));
  setHandler(resumeSignal, callFor(false));
  CancellationScope.current().cancelRequested.catch(() => {
    native = true;
    call();
  });

  const isPaused = (): boolean => pause?.isPaused === true && reason === null;

  function end(why: 'cancelled' | 'expired'): void {
    reason = why;
    isWindowDone = true;
    for (const stop of stops) stop();
  }

  function see(saved: SavedBatch): void {
    const { status } = saved;
    // The answer of a read that was slow, while another activity has found a later status.
    if (!isNotAfter(last, status)) return;
    last = status;
    if (status === 'cancelling' && reason !== 'cancelled') end('cancelled');
    // All lines have their result: expiry does not matter any more.
    if (status === 'finalizing' || isTerminal(status)) isWindowDone = true;
    seePause(saved.pause);
    onStatus(status, isPaused());
  }

  function seePause(found: SavedPause): void {
    if (pause !== null && found.changes < pause.changes) return;
    const wasPaused = isPaused();
    pause = found;
    expiresAtMs = found.windowEndMs ?? expiresAtMs;
    if (isPaused() && !wasPaused) for (const hold of holds) hold();
  }

  async function save(to: SaveBatchInput['to'], counts: SaveBatchInput['counts'] = null): Promise<SavedBatch> {
    const saved = await saveBatch({ tenant: input.tenant, batchId: input.batchId, to, counts });
    see(saved);
    return saved;
  }

  async function followCall(): Promise<void> {
    if (wish === null || native) return void (await save(native ? 'cancelling' : null));
    const wanted = wish;
    see(await saveBatch({ tenant: input.tenant, batchId: input.batchId, to: null, counts: null, pause: wanted }));
    if (wish === wanted) wish = null;
  }

  async function followCalls(): Promise<void> {
    for (let heard = 0; ;) {
      // Once it is cancelled, a repeated call has nothing to tell.
      await condition(() => calls > heard && reason !== 'cancelled');
      const upTo = calls;
      try {
        await followCall();
        heard = upTo;
      } catch (error) {
        if (!(error instanceof TemporalFailure)) throw error;
        // Refused for good, for instance by a worker that is misconfigured. The call stands, so ask again.
        await sleep(READ_AGAIN_MS);
      }
    }
  }

  /** Ends the batch with its window. A pause may have moved the end since it was read last, or stopped the window. */
  async function watchWindow(): Promise<void> {
    const endMs = (): number | null => (pause === null ? null : pause.windowEndMs);
    for (;;) {
      await condition(() => isWindowDone || endMs() !== null);
      const knownMs = endMs();
      if (isWindowDone || knownMs === null) return;
      const leftMs = knownMs - Date.now();
      // At once, because a run that begins after the window must not hand out lines until a timer fires.
      if (leftMs <= 0) return end('expired');
      if (await condition(() => isWindowDone || endMs() !== knownMs, leftMs)) continue;
      await save(null).catch((error: unknown) => {
        if (!(error instanceof TemporalFailure)) throw error;
      });
    }
  }

  void CancellationScope.nonCancellable(async () => await Promise.all([followCalls(), watchWindow()]));

  return {
    get reason() {
      return reason;
    },
    get native() {
      return native;
    },
    get paused() {
      return isPaused();
    },
    get expiresAtMs() {
      return expiresAtMs;
    },
    save,
    see,
    onEnd: (stop) => listen(stops, stop),
    onPause: (hold) => listen(holds, hold),
    async orNull(work) {
      if (reason !== null) return null;
      const scope = new CancellationScope({ cancellable: true });
      const forget = listen(stops, () => scope.cancel());
      try {
        return await scope.run(work);
      } catch (error) {
        if (reason === null || !isCancellation(error)) throw error;
        return null;
      } finally {
        forget();
      }
    },
  };
}

function listen(listeners: Set<() => void>, listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
