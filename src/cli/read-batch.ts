import { ApiFault } from './api-fault.ts';
import { type Batch, zeroUsage } from '../domain/batch.ts';
import type { BatchEstimate } from '../domain/batch-estimate.ts';
import type { File } from '../domain/file.ts';
import { DEFAULT_LIMITS, type Limits } from '../domain/limits.ts';

/**
 * A batch as the API answers it. Members that other implementations of the Batch API leave out are filled in, so that
 * every command can rely on them.
 */
export function readBatch(value: unknown): Batch {
  const given: Partial<Batch> = Object(value);
  const { id, status } = given;
  if (typeof id !== 'string' || typeof status !== 'string') throw notA('batch');
  return {
    ...given,
    id,
    object: 'batch',
    endpoint: given.endpoint ?? '',
    model: given.model ?? null,
    errors: Array.isArray(given.errors?.data) ? given.errors : null,
    input_file_id: given.input_file_id ?? '',
    completion_window: given.completion_window ?? '',
    status,
    output_file_id: given.output_file_id ?? null,
    error_file_id: given.error_file_id ?? null,
    created_at: number(given.created_at),
    in_progress_at: given.in_progress_at ?? null,
    expires_at: number(given.expires_at),
    finalizing_at: given.finalizing_at ?? null,
    completed_at: given.completed_at ?? null,
    failed_at: given.failed_at ?? null,
    expired_at: given.expired_at ?? null,
    cancelling_at: given.cancelling_at ?? null,
    cancelled_at: given.cancelled_at ?? null,
    request_counts: {
      total: number(given.request_counts?.total),
      completed: number(given.request_counts?.completed),
      failed: number(given.request_counts?.failed),
    },
    usage: typeof given.usage?.total_tokens === 'number' ? { ...zeroUsage(), ...given.usage } : zeroUsage(),
    metadata: typeof given.metadata === 'object' ? given.metadata : null,
  };
}

/** A file as the API answers it. */
export function readFile(value: unknown): File {
  const given: Partial<File> = Object(value);
  const { id } = given;
  if (typeof id !== 'string') throw notA('file');
  return {
    ...given,
    id,
    object: 'file',
    bytes: number(given.bytes),
    created_at: number(given.created_at),
    expires_at: given.expires_at ?? null,
    filename: given.filename ?? '',
    purpose: given.purpose ?? 'batch',
    status: 'processed',
    status_details: null,
  };
}

/** An estimate as Nightshift answers it. */
export function readEstimate(value: unknown): BatchEstimate {
  const given: BatchEstimate = Object(value);
  if (given.object !== 'batch.estimate' || !Array.isArray(given.models) || !Array.isArray(given.upstreams)) throw notA('estimate');
  return given;
}

/** The limits in a description of the API; the default where it does not tell one. */
export function readLimits(description: unknown): Limits {
  const told: Record<string, unknown> = Object(Object(description)['x-nightshift-limits']);
  const limit = (name: string, otherwise: number) => (Number.isInteger(told[name]) ? Number(told[name]) : otherwise);
  return {
    ...DEFAULT_LIMITS,
    maxRequestsPerBatch: limit('max_requests_per_batch', DEFAULT_LIMITS.maxRequestsPerBatch),
    maxBatchInputBytes: limit('max_batch_input_bytes', DEFAULT_LIMITS.maxBatchInputBytes),
    maxLineBytes: limit('max_line_bytes', DEFAULT_LIMITS.maxLineBytes),
    maxEmbeddingInputs: limit('max_embedding_inputs', DEFAULT_LIMITS.maxEmbeddingInputs),
  };
}

/** A page of a list. */
export function readPage<T>(value: unknown, readOne: (each: unknown) => T): Page<T> {
  const { data, has_more: hasMore }: { data?: unknown; has_more?: unknown } = Object(value);
  if (!Array.isArray(data)) throw notA('list');
  return { data: data.map((each: unknown) => readOne(each)), hasMore: hasMore === true };
}

export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function notA(what: string): ApiFault {
  return new ApiFault(`The API answered with something that is no ${what}. Is this the base URL of a Batch API?`, { isTransient: false });
}
