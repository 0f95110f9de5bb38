import { CancellationScope, condition, defineSignal, isCancellation, setHandler, sleep, TemporalFailure } from '@temporalio/workflow';
import { type BatchStatus, isTerminal } from '../src/domain/batch.ts';
import { isNotAfter } from '../src/domain/lifecycle.ts';
import { saveBatch } from './activities.ts';
import { type BatchInput, CANCEL_SIGNAL, type SaveBatchInput, type SavedBatch } from './contract.ts';

const cancelSignal = defineSignal(CANCEL_SIGNAL);
const READ_AGAIN_MS = 10_000;

/** Why a batch stops handing out lines, and what stops with it. */
export interface Ending {
  /** Null while the batch goes on; `expired` may still become `cancelled`, never the reverse. */
  readonly reason: 'cancelled' | 'expired' | null;
  /** Whether somebody cancelled the workflow itself, from the Temporal UI or CLI. */
  readonly native: boolean;
  /** Reads (`to: null`) or moves the record and follows the status found. */
  save(to: SaveBatchInput['to'], counts?: SaveBatchInput['counts']): Promise<SavedBatch>;
  /** Heeds the status of the record as some other activity found it. */
  see(status: BatchStatus): void;
  /** Calls `stop` when the batch ends, and again if the reason changes, until the function that it returns is called. */
  onEnd(stop: () => void): () => void;
  /** What `work` answers; null when the batch ends meanwhile, which cancels it. */
  orNull<T>(work: () => Promise<T>): Promise<T | null>;
}

/**
 * Listens from the first moment on for the three ways in which a batch ends early: the cancel signal, cancellation of the
 * workflow itself, and the end of the window. It never decides that a batch is cancelled: it reads the record, which does.
 */
export function watchForEnding(input: BatchInput, onStatus: (status: BatchStatus) => void): Ending {
  let reason: Ending['reason'] = null;
  let native = false;
  let calls = 0;
  let last: BatchStatus = 'validating';
  const stops = new Set<() => void>();
  setHandler(cancelSignal, () => {
    calls += 1;
  });
  CancellationScope.current().cancelRequested.catch(() => {
    native = true;
    calls += 1;
  });
  const window = new CancellationScope({ cancellable: true });

  function end(why: 'cancelled' | 'expired'): void {
    reason = why;
    window.cancel();
    for (const stop of stops) stop();
  }

  function see(status: BatchStatus): void {
    // The answer of a read that was slow, while another activity has found a later status.
    if (!isNotAfter(last, status)) return;
    last = status;
    onStatus(status);
    if (status === 'cancelling' && reason !== 'cancelled') end('cancelled');
    // All lines have their result: expiry does not matter any more.
    if (status === 'finalizing' || isTerminal(status)) window.cancel();
  }

  async function save(to: SaveBatchInput['to'], counts: SaveBatchInput['counts'] = null): Promise<SavedBatch> {
    const saved = await saveBatch({ tenant: input.tenant, batchId: input.batchId, to, counts });
    see(saved.status);
    return saved;
  }

  async function followCalls(): Promise<void> {
    for (let heard = 0; ;) {
      // Once it is cancelled, a repeated call has nothing to tell.
      await condition(() => calls > heard && reason !== 'cancelled');
      const upTo = calls;
      try {
        await save(native ? 'cancelling' : null);
        heard = upTo;
      } catch (error) {
        if (!(error instanceof TemporalFailure)) throw error;
        // Refused for good, for instance by a worker that is misconfigured. The call stands, so ask again.
        await sleep(READ_AGAIN_MS);
      }
    }
  }

  function onEnd(stop: () => void): () => void {
    stops.add(stop);
    return () => void stops.delete(stop);
  }

  void CancellationScope.nonCancellable(async () => {
    void followCalls();
    // At once, because a run that begins after the window must not hand out lines until a timer fires.
    if (input.expiresAtMs <= Date.now()) return end('expired');
    try {
      await window.run(() => sleep(input.expiresAtMs - Date.now()));
      if (reason === null) end('expired');
    } catch (error) {
      if (!isCancellation(error)) throw error;
    }
  });

  return {
    get reason() {
      return reason;
    },
    get native() {
      return native;
    },
    save,
    see,
    onEnd,
    async orNull(work) {
      if (reason !== null) return null;
      const scope = new CancellationScope({ cancellable: true });
      const forget = onEnd(() => scope.cancel());
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
