import { lineRanges } from '../../src/domain/line-ranges.ts';
import type { PlannedLine } from '../../src/domain/plan.ts';
import type { RanRequests, RunRequestsInput, SliceCounts } from '../../workflows/contract.ts';
import type { SliceTally } from './run-slice.ts';

/** What an activity returns of its slice: lines without an outcome in a piece are neither covered nor counted. */
export function toReport(given: {
  input: RunRequestsInput;
  lines: readonly PlannedLine[];
  stored: SliceTally['stored'];
  tally: SliceTally;
  again: RanRequests['again'];
  waitedMs: number;
  meanUpstreamMs: number;
  batchesRunning: number;
  places: number;
  limit: number;
  workers: number;
  workerLost: boolean;
}): RanRequests {
  const { input, lines, stored, tally, again, waitedMs, meanUpstreamMs, batchesRunning, places, limit, workers, workerLost } = given;
  const open = new Set(lines.flatMap(({ line }) => (stored.has(line) ? [] : [line])));
  const covered: number[] = [];
  // Blank lines are covered once the slice has read them.
  for (let line = input.firstLine; line <= input.lastLine; line++) if (!open.has(line)) covered.push(line);
  return {
    covered: lineRanges(covered),
    ...countOutcomes(stored),
    ...(workerLost ? { workerLost } : {}),
    again,
    answered: tally.answered,
    meanUpstreamMs: tally.answered === 0 ? 0 : meanUpstreamMs,
    waitedMs,
    batchesRunning,
    places,
    limit,
    workers,
  };
}

/** How many lines have each outcome. */
export function countOutcomes(stored: SliceTally['stored']): SliceCounts {
  const counts = { completed: 0, failed: 0 };
  for (const outcome of stored.values()) counts[outcome] += 1;
  return counts;
}
