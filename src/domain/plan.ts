import type { BatchError } from './batch.ts';

/**
 * How an input file is cut. Lines are physical: numbered from 1, blank lines counted, so that a line has one number in
 * errors, pieces, slices and the Temporal UI. A shard is a contiguous run of lines; stretches of blank lines that hold
 * no request belong to no shard.
 */
export interface ShardRange {
  /** Number of the shard, from 0. */
  shard: number;
  firstLine: number;
  lastLine: number;
  /** How many of these lines hold a request (the others are blank). */
  requests: number;
}

/** Where one request stands in the input file: offset and length in bytes, without the line break. */
export interface PlannedLine {
  line: number;
  offset: number;
  length: number;
}

/** One object per shard in the bucket: its lines in order, blank ones left out. */
export interface ShardPlan extends ShardRange {
  lines: PlannedLine[];
}

/**
 * The head of a plan, written create-only and last: once it is there, the verdict on the input stands and a restart uses
 * it. A refused input carries its errors, at most 101.
 */
export type PlanHead =
  | { verdict: 'refused'; errors: BatchError[] }
  | {
      verdict: 'accepted';
      /** Requests in the batch. */
      total: number;
      /** The model all lines name; null when they name several. */
      model: string | null;
      /** Name of the upstream that serves every model of the batch. */
      upstream: string;
      shards: ShardRange[];
    };
