import { type AnswerTime, createAnswerTime } from '../src/domain/answer-time.ts';

const RECENT_MS = 10_000;

/** The batches that this worker runs requests of; they share the activity budget. */
export interface BatchesRunning {
  /** Until disposed the batch runs here; ten seconds later it is forgotten. */
  enter(batchId: string): RunningBatch;
  readonly count: number;
}

export interface RunningBatch extends Disposable {
  /** Of all slices of the batch that this worker runs. */
  readonly answerTime: AnswerTime;
}

/** None yet. */
export function createBatchesRunning({ monotonicMs }: { monotonicMs: () => number }): BatchesRunning {
  const batches = new Map<string, { slices: number; lastMs: number; answerTime: AnswerTime }>();
  return {
    enter(batchId) {
      const batch = batches.get(batchId) ?? { slices: 0, lastMs: 0, answerTime: createAnswerTime({ monotonicMs }) };
      batches.set(batchId, batch);
      batch.slices += 1;
      return {
        answerTime: batch.answerTime,
        [Symbol.dispose]() {
          batch.slices -= 1;
          batch.lastMs = monotonicMs();
        },
      };
    },
    get count() {
      for (const [batchId, { slices, lastMs }] of batches) {
        if (slices === 0 && monotonicMs() - lastMs > RECENT_MS) batches.delete(batchId);
      }
      return batches.size;
    },
  };
}
