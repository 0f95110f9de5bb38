import type { Usage } from './batch.ts';
import type { Failure, FailureGroup } from './failures.ts';
import type { NumberedUsage } from './usage.ts';
import type { ClosedLine } from './closed-lines.ts';

/** What the outcome of a line took. */
export interface LineEffort {
  /** How often the request was sent; 0 if it never was. */
  attempts: number;
  /** From sending to the last byte of the answer, in the last attempt; null if it was never sent. */
  milliseconds: number | null;
}

/** The end of one line: its outcome and the bytes to be written, without the line break. */
export interface LineResult extends LineEffort {
  line: number;
  outcome: 'completed' | 'failed';
  usage: Usage | null;
  /** Why the line failed; absent if it completed. */
  failure?: Failure;
  resultLine: Buffer;
}

/** Where a result line lies. */
export interface PieceEntry extends LineEffort {
  line: number;
  outcome: 'completed' | 'failed';
  usage: Usage | null;
  failure?: Failure;
  /** Key of the piece, and where the result line lies in it. */
  key: string;
  offset: number;
  length: number;
  /** The result line itself, where it was kept. */
  resultLine?: Buffer;
}

/** Takes an entry of a piece into the outcomes of a shard: completed before failed, then the first one that was taken, by key. */
export function takeOutcome(decided: Map<number, PieceEntry>, entry: PieceEntry): void {
  const before = decided.get(entry.line);
  if (before === undefined || (before.outcome === 'failed' && entry.outcome === 'completed')) decided.set(entry.line, entry);
}

/** What a closed shard holds; everything published, counted and billed comes from these. */
export interface ShardResult {
  shard: number;
  firstLine: number;
  lastLine: number;
  completed: number;
  failed: number;
  /** Lines written as `batch_cancelled` or `batch_expired`. */
  notRun: number;
  /** Lines that have the answer of an equal one. They are completed or failed as that is, and have no usage of their own. */
  copied: number;
  usage: Usage;
  /** What the lines that have an outcome came to, by model. */
  models: NumberedUsage[];
  /** Why lines failed, `notRun` apart. */
  failures: FailureGroup[];
  output: { key: string; bytes: number } | null;
  error: { key: string; bytes: number } | null;
}

/** A shard result with all of its lines, as it lies in the bucket. */
export interface ShardResultLines extends ShardResult {
  lines: ClosedLine[];
}

/** Ids and times of the result files, decided once per batch, and again only where those files would be gone too soon. */
export interface Publication {
  outputFileId: string;
  errorFileId: string;
  /** Unix seconds; null while shards run. */
  createdAt: number | null;
}
