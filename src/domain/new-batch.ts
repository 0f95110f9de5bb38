import { type Batch, zeroUsage } from './batch.ts';

export interface NewBatch {
  id: string;
  endpoint: string;
  inputFileId: string;
  /** As the client wrote it. */
  completionWindow: string;
  /** What it means. */
  windowMs: number;
  metadata: Record<string, string> | null;
  /** Unix time. */
  nowSeconds: number;
}

/** A batch at the moment of its creation: `validating`, counts and usage zero, its end already known. */
export function newBatch(given: NewBatch): Batch {
  return {
    id: given.id,
    object: 'batch',
    endpoint: given.endpoint,
    model: null,
    errors: null,
    input_file_id: given.inputFileId,
    completion_window: given.completionWindow,
    status: 'validating',
    output_file_id: null,
    error_file_id: null,
    created_at: given.nowSeconds,
    in_progress_at: null,
    expires_at: given.nowSeconds + Math.ceil(given.windowMs / 1000),
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 0, completed: 0, failed: 0 },
    usage: zeroUsage(),
    metadata: given.metadata,
  };
}
