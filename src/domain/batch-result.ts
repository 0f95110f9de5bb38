import type { Usage } from './batch.ts';
import type { LineOutcome } from './closed-lines.ts';

/** A line with an outcome, as clients see it. `body` and `body_left_out` are there if they were asked for. */
export interface BatchResult {
  id: string;
  object: 'batch.result';
  line: number;
  custom_id: string;
  outcome: LineOutcome;
  /** The HTTP status of the answer; null where the line has none. */
  status: number | null;
  error: { code: string | null; message: string } | null;
  attempts: number;
  milliseconds: number | null;
  usage: Usage | null;
  result_id: string;
  request_id: string | null;
  body?: unknown;
  body_left_out?: boolean;
}
