import type { SendState } from '../src/upstream/send-request.ts';
import type { SliceCounts } from '../workflows/contract.ts';

/** Characters of a custom_id that Temporal's UI gets to show. */
const SHOWN_CHARACTERS = 64;

/** What the lines of a running slice are doing, for the heartbeats. */
export interface SliceBoard {
  /** What a line is doing now; null takes it off the board. */
  show(line: number, state: SendState | { state: 'waiting'; for: string } | null): void;
  /** Learnt when the line is read; of interest in a slice of one. */
  name(customId: string): void;
  /** A line has its outcome in a piece. */
  count(outcome: 'completed' | 'failed'): void;
  /** Lines that have one, those found at the start included. */
  readonly stored: SliceCounts;
  /** Refusals of the request of a slice of one. */
  readonly refusals: number;
  /** Whether any request is on the wire. */
  readonly sent: boolean;
  /** What a person wants to know of it. */
  describe(): Record<string, unknown>;
}

/**
 * `lines` are the requests of the slice, `found` counts the outcomes that pieces had of them. `isContested`: a lost worker may still
 * store an answer for a line that failed, so the heartbeats count no failures.
 */
export function createSliceBoard(given: {
  lines: readonly number[];
  found: SliceCounts;
  refusals: number;
  isContested: boolean;
}): SliceBoard {
  const { lines, found, refusals, isContested } = given;
  const states = new Map<number, Parameters<SliceBoard['show']>[1]>();
  let customId: string | null = null;
  const stored = { ...found };
  let refused = refusals;

  const inFlight = () => [...states.values()].filter((state) => state?.state === 'sent').length;

  /** The first line that waits speaks for all. */
  function waiting(): string | null {
    for (const state of states.values()) {
      if (state !== null && state.state !== 'sent') return inWords(state);
    }
    return null;
  }

  return {
    show(line, state) {
      if (state === null) states.delete(line);
      else states.set(line, state);
      if (state?.state === 'refused' && lines.length === 1) refused = state.refusals;
    },
    name(id) {
      if (lines.length > 1) return;
      customId = Array.from(id.slice(0, 2 * SHOWN_CHARACTERS))
        .slice(0, SHOWN_CHARACTERS)
        .join('');
    },
    count(outcome) {
      stored[outcome] += 1;
    },
    stored,
    get refusals() {
      return refused;
    },
    get sent() {
      return inFlight() > 0;
    },
    describe() {
      if (lines.length === 1) return { custom_id: customId, line: lines[0], waiting: waiting() };
      const { completed, failed } = stored;
      const counts: SliceCounts = { completed, failed: isContested ? 0 : failed };
      return { ...counts, done: completed + failed, of: lines.length, in_flight: inFlight(), waiting: waiting() };
    },
  };
}

function inWords(state: Exclude<Parameters<SliceBoard['show']>[1], null>): string | null {
  switch (state.state) {
    case 'waiting':
      return `for ${'for' in state ? state.for : 'a place upstream'}`;
    case 'unavailable':
      return `for the upstream: ${state.reason}, since ${new Date(state.sinceMs).toISOString()}`;
    case 'refused':
      return `refused ${state.refusals} times, next try ${new Date(state.nextTryMs).toISOString()}`;
    case 'sent':
      return null;
  }
}
