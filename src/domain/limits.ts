/** Bounds on what clients may send; all of them can be set by configuration. */
export interface Limits {
  /** Requests in one batch. */
  maxRequestsPerBatch: number;
  /** Bytes of a file of purpose `batch`: over it, 400 `file_too_large`. */
  maxBatchInputBytes: number;
  /** Bytes of any request body: over it, 413 `file_too_large`. */
  maxUploadBytes: number;
  /** Bytes of a file that comes in parts (`/v1/uploads`). */
  maxResumableUploadBytes: number;
  /** Bytes of one line of an input file. */
  maxLineBytes: number;
  /** Inputs summed over all lines of an embeddings batch. */
  maxEmbeddingInputs: number;
}

/** The limits of OpenAI's own service, which are the defaults; it has none for a line, which a worker holds as a whole. */
export const DEFAULT_LIMITS: Limits = {
  maxRequestsPerBatch: 50_000,
  maxBatchInputBytes: 209_715_200,
  maxUploadBytes: 536_870_912,
  maxResumableUploadBytes: 8_589_934_592,
  maxLineBytes: 67_108_864,
  maxEmbeddingInputs: 50_000,
};

/** A longer line is checked by its bytes and not parsed as a whole, and a worker checks few of them at a time. */
export const LONG_LINE_BYTES = 1024 * 1024;
/** Most errors a refused input reports; one more entry then says that checking stopped. */
export const MAX_BATCH_ERRORS = 100;
/** Longest name of a model, in Unicode code points; the longest paths, by which some servers call their models, fit. */
export const MODEL_MAX_LENGTH = 4096;
/** Most lines of a shard: with one line per activity its run stays under 10,000 events. */
export const SHARD_MAX_LINES = 1000;
/** Most bytes of input in a shard; a longer line is a shard of its own. */
export const SHARD_MAX_BYTES = 8 * 1024 * 1024;
/** Most shards of a batch: a list of them still goes through Temporal, which takes 2 MiB. Full shards hold ten million lines. */
export const MAX_SHARDS = 10_000;

/** What one tenant may do and keep; null is no limit. */
export interface TenantLimits {
  /** Counted by each API process for itself, like the batches per hour. */
  requestsPerMinute: number | null;
  batchesPerHour: number | null;
  /** Batches that have not ended. */
  maxOpenBatches: number | null;
  /** Contents of files and parts of uploads. */
  maxStoredBytes: number | null;
}
