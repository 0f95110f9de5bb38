import type { Limits } from './limits.ts';

/** What one batch may hold. */
export type PartLimits = Pick<Limits, 'maxRequestsPerBatch' | 'maxBatchInputBytes' | 'maxEmbeddingInputs'>;

/** A run of lines that fits into one batch. */
export interface InputPart {
  firstLine: number;
  /** Where its bytes begin and end in the input; the last line break is left out. */
  start: number;
  end: number;
  requests: number;
  embeddingInputs: number;
}

/**
 * Cuts the lines of an input into parts that one batch each may hold, as few as possible. `add` answers the part that the line belongs to: the
 * same one as for the line before, with new numbers, or a new one. A line that fits into no batch is a part of its own.
 */
export function createPartCutter(limits: PartLimits): {
  add(line: { line: number; offset: number; length: number; embeddingInputs: number }): InputPart;
} {
  let part: InputPart | null = null;
  return {
    add({ line, offset, length, embeddingInputs }) {
      const end = offset + length;
      const fits =
        part !== null &&
        part.requests < limits.maxRequestsPerBatch &&
        end - part.start <= limits.maxBatchInputBytes &&
        part.embeddingInputs + embeddingInputs <= limits.maxEmbeddingInputs;
      if (part === null || !fits) part = { firstLine: line, start: offset, end, requests: 0, embeddingInputs: 0 };
      part.end = end;
      part.requests += 1;
      part.embeddingInputs += embeddingInputs;
      return part;
    },
  };
}
