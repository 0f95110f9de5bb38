import type { FailureGroup } from './failures.ts';
import type { ModelUsage } from './usage.ts';
import type { Waiting } from './waiting.ts';

/** The eight statuses (docs/contract.md, "Statuses"). */
export const BATCH_STATUSES = [
  'validating',
  'failed',
  'in_progress',
  'finalizing',
  'completed',
  'expired',
  'cancelling',
  'cancelled',
] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

export const TERMINAL_STATUSES = ['failed', 'completed', 'expired', 'cancelled'] as const;
export type TerminalStatus = (typeof TERMINAL_STATUSES)[number];

/** Whether nothing in a batch of this status may change any more. */
export function isTerminal(status: BatchStatus): status is TerminalStatus {
  return (TERMINAL_STATUSES as readonly BatchStatus[]).includes(status);
}

/** `completed + failed <= total` always holds; lines that did not run because of cancel or expiry are in neither. */
export interface RequestCounts {
  total: number;
  completed: number;
  failed: number;
}

/** Token totals over the completed requests of a batch; zeros where the upstream reports none. */
export interface Usage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** One fault of the input file. `line` is 1-based and physical (blank lines count). */
export interface BatchError {
  code: string;
  message: string;
  param: string | null;
  line: number | null;
}

/** The batch as clients see it; every key is always present. Timestamps are Unix seconds. */
export interface Batch {
  id: string;
  object: 'batch';
  endpoint: string;
  model: string | null;
  errors: { object: 'list'; data: BatchError[] } | null;
  input_file_id: string;
  completion_window: string;
  status: BatchStatus;
  output_file_id: string | null;
  error_file_id: string | null;
  created_at: number;
  in_progress_at: number | null;
  expires_at: number;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  request_counts: RequestCounts;
  usage: Usage;
  metadata: Record<string, string> | null;
  /** Additions to OpenAI's object; absent where there is nothing to say. */
  nightshift?: BatchAdditions;
}

/** Members of a batch that OpenAI's API does not have. */
export interface BatchAdditions {
  /** The batch whose lines this one runs again. */
  retry_of?: string;
  retried_by?: string[];
  /** How many requests got the answer of an equal one; known at the end. */
  deduplicated?: number;
  /** Why lines failed, the most frequent cause first; at most 50. */
  failures?: FailureGroup[];
  /** Lines that ended per second, over the last half minute; null until there is a rate. Until the batch has ended, as all that follows. */
  lines_per_second?: number | null;
  /** When the batch ends at this rate, in Unix seconds; null if unknown. */
  eta_at?: number | null;
  /** Requests that wait for their answer. */
  in_flight?: number;
  /** Since when the batch is paused; null or absent while it is not. */
  paused_at?: number | null;
  waiting?: Waiting[];
}

/** What the bucket holds of a batch: the wire object and what only Nightshift needs to know. */
export interface BatchRecord {
  batch: Batch;
  tenant: string;
  /** Life of the result files from their own creation, in seconds; null for the default. */
  output_expires_after_seconds: number | null;
  /** Absent until the batch is paused for the first time. */
  pause?: PauseState;
  /** What it came to, by model; absent until it has ended with results. */
  usage_by_model?: ModelUsage[];
}

/** What clients do not see of the pauses of a batch. */
export interface PauseState {
  /** Pauses and resumes so far: of two reads, the one with more is later. */
  changes: number;
  /** Whether the workflow has read the last change. */
  isHeard: boolean;
  /** Whether the completion window stands still while the batch is paused. */
  stopsWindow: boolean;
}

/** No tokens at all: the usage of a batch at its creation. */
export function zeroUsage(): Usage {
  return {
    input_tokens: 0,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 0,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 0,
  };
}

/** The sum of two usages, field by field. */
export function addUsage(a: Usage, b: Usage): Usage {
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    input_tokens_details: {
      cached_tokens: a.input_tokens_details.cached_tokens + b.input_tokens_details.cached_tokens,
    },
    output_tokens: a.output_tokens + b.output_tokens,
    output_tokens_details: {
      reasoning_tokens: a.output_tokens_details.reasoning_tokens + b.output_tokens_details.reasoning_tokens,
    },
    total_tokens: a.total_tokens + b.total_tokens,
  };
}
