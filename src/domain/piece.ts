import type { Usage } from './batch.ts';
import type { NumberedUsage } from './usage.ts';

/** The end of one line: its outcome and the bytes to be written, without the line break. */
export interface LineResult {
  line: number;
  outcome: 'completed' | 'failed';
  usage: Usage | null;
  resultLine: Buffer;
}

/** Where a result line lies. */
export interface PieceEntry {
  line: number;
  outcome: 'completed' | 'failed';
  usage: Usage | null;
  /** Key of the piece, and where the result line lies in it. */
  key: string;
  offset: number;
  length: number;
  /** The result line itself, where it was kept. */
  resultLine?: Buffer;
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
  usage: Usage;
  /** What the lines that have an outcome came to, by model. */
  models: NumberedUsage[];
  output: { key: string; bytes: number } | null;
  error: { key: string; bytes: number } | null;
}

/** Ids and times of the result files, decided once per batch, and again only where those files would be gone too soon. */
export interface Publication {
  outputFileId: string;
  errorFileId: string;
  /** Unix seconds; null while shards run. */
  createdAt: number | null;
}
