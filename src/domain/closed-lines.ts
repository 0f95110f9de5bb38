import type { Usage } from './batch.ts';
import type { NotRunReason } from './result-line.ts';

/** What became of a line. */
export const LINE_OUTCOMES = ['completed', 'failed', 'expired', 'cancelled'] as const;
export type LineOutcome = (typeof LINE_OUTCOMES)[number];

/** The outcome of a line that was never executed. */
export const OUTCOME_OF: Readonly<Record<NotRunReason, LineOutcome>> = { batch_expired: 'expired', batch_cancelled: 'cancelled' };

/**
 * A line of a closed shard, as short as possible, because a batch may have millions: line, outcome (its place in `LINE_OUTCOMES`), bytes of
 * the result line without its line break, attempts, milliseconds (-1 for none), and the five counts of its usage, if it has any.
 */
export type ClosedLine = [line: number, outcome: number, length: number, attempts: number, milliseconds: number, ...usage: number[]];

/** A line with an outcome, and where its result line lies. */
export interface KnownLine {
  line: number;
  outcome: LineOutcome;
  attempts: number;
  milliseconds: number | null;
  usage: Usage | null;
  /** The object with its result line, and where in it. */
  key: string;
  offset: number;
  length: number;
}

export function toClosedLine(known: Omit<KnownLine, 'key' | 'offset'>): ClosedLine {
  const { line, outcome, length, attempts, milliseconds, usage } = known;
  const tokens =
    usage === null
      ? []
      : [
          usage.input_tokens,
          usage.input_tokens_details.cached_tokens,
          usage.output_tokens,
          usage.output_tokens_details.reasoning_tokens,
          usage.total_tokens,
        ];
  return [line, LINE_OUTCOMES.indexOf(outcome), length, attempts, milliseconds ?? -1, ...tokens];
}

/**
 * The lines of a closed shard with the places of their result lines. `output` and `error` say in which object those lines lie, and from which
 * byte on: completed lines in one, all others in the other, each in the order of the input and with a line break at its end.
 */
export function locateLines(
  lines: readonly ClosedLine[],
  { output, error }: Record<'output' | 'error', { key: string; offset: number }>,
): KnownLine[] {
  const places = { output: { ...output }, error: { ...error } };
  return lines.map(([line, outcomeAt, length, attempts, milliseconds, ...tokens]) => {
    const outcome = LINE_OUTCOMES[outcomeAt] ?? 'failed';
    const place = outcome === 'completed' ? places.output : places.error;
    const { key, offset } = place;
    place.offset += length + 1;
    return { line, outcome, length, attempts, milliseconds: milliseconds < 0 ? null : milliseconds, usage: toUsage(tokens), key, offset };
  });
}

function toUsage(tokens: readonly number[]): Usage | null {
  if (tokens.length === 0) return null;
  const [input_tokens = 0, cached_tokens = 0, output_tokens = 0, reasoning_tokens = 0, total_tokens = 0] = tokens;
  return {
    input_tokens,
    input_tokens_details: { cached_tokens },
    output_tokens,
    output_tokens_details: { reasoning_tokens },
    total_tokens,
  };
}
