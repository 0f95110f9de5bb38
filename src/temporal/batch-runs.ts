import type { BatchRecord, RequestCounts } from '../domain/batch.ts';

/** The only door of API and sweep to Temporal. Every call gives up after some seconds and throws `TemporalUnavailable`. */
export interface BatchRuns {
  /** Starts the workflow of a batch; one that runs already, or has ended well, is no error. */
  start(record: BatchRecord): Promise<void>;
  /** Tells a running batch to look at its record; no running batch is no error. */
  cancel(batchId: string): Promise<void>;
  /** Live counts of a batch and its open shards; null when it does not run or nobody answers in time. */
  progress(batchId: string): Promise<Pick<RequestCounts, 'completed' | 'failed'> | null>;
  /** Ids of batches with a running workflow. */
  running(): Promise<Set<string>>;
  /** Resolves when Temporal answers. */
  ping(): Promise<void>;
}

/** Temporal did not answer or refused; what was asked may or may not have happened. */
export class TemporalUnavailable extends Error {
  override readonly name = 'TemporalUnavailable';
}
