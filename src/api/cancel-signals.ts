/** A signal that is on its way needs no second one. */
const FIRST_REST_MS = 5_000;
/** After that a client may repeat it, but not for each of its calls: Temporal ends a run that got 10,000. */
const REST_MS = 60_000;
/** Batches that are remembered; the sweep repeats a signal that was lost. */
const REMEMBERED = 10_000;

/** Decides whether a cancel is told to the workflow of a batch, which needs to hear it once. */
export interface CancelSignals {
  /** `isFirst`: this call began the cancel; `cancellingMs` is how long the batch has been cancelling. */
  mayTell(batchId: string, cancel: { isFirst: boolean; cancellingMs: number }): boolean;
}

export function createCancelSignals(monotonicMs: () => number): CancelSignals {
  // In the order of their last signal.
  const told = new Map<string, number>();
  return {
    mayTell(batchId, { isFirst, cancellingMs }) {
      const toldMs = told.get(batchId) ?? -Infinity;
      if (!isFirst && (cancellingMs < FIRST_REST_MS || monotonicMs() - toldMs < REST_MS)) return false;
      told.delete(batchId);
      told.set(batchId, monotonicMs());
      for (const [oldest] of told) {
        if (told.size <= REMEMBERED) break;
        told.delete(oldest);
      }
      return true;
    },
  };
}
