import { sumWaits } from '../../src/domain/waiting.ts';
import type { SliceFacts } from '../batch-report.ts';
import type { Tries } from '../../src/domain/retry.ts';
import type { SliceCounts } from '../../workflows/contract.ts';
import type { Wait } from './waits.ts';

/** Characters of a custom_id that Temporal's UI gets to show. */
const SHOWN_CHARACTERS = 64;

/** What the lines of a running slice are doing, for the heartbeats. */
export interface SliceStatus {
  /** What a line is doing now; null when it has ended. */
  show(line: number, state: 'sent' | Wait | null): void;
  /** Learnt when the line is read; of interest in a slice of one. */
  name(customId: string): void;
  /** The tries of the request of a slice of one. */
  count(tries: Tries): void;
  readonly tries: Tries;
  /** Lines that have an outcome in a piece, those found at the start included. */
  readonly stored: SliceCounts;
  /** Whether any request is on the wire. */
  readonly sent: boolean;
  /** What clients are told of its lines. */
  facts(): SliceFacts;
  /** What a person wants to know of it. */
  describe(): Record<string, unknown>;
}

/**
 * `lines` are the requests of the slice, `found` counts the outcomes that pieces had of them. `isContested`: a lost worker may still
 * store an answer for a line that failed, so the heartbeats count no failures.
 */
export function createSliceStatus(given: {
  lines: readonly number[];
  found: SliceCounts;
  tries: Tries;
  isContested: boolean;
}): SliceStatus {
  const { lines, found, isContested } = given;
  const states = new Map<number, 'sent' | Wait>();
  const stored = { ...found };
  let customId: string | null = null;
  let { tries } = given;

  const inFlight = () => [...states.values()].filter((state) => state === 'sent').length;

  /** The first line that waits speaks for all. */
  function waiting(): string | null {
    for (const state of states.values()) if (state !== 'sent') return state().text();
    return null;
  }

  return {
    show(line, state) {
      if (state === null) states.delete(line);
      else states.set(line, state);
    },
    name(id) {
      if (lines.length > 1) return;
      customId = Array.from(id.slice(0, 2 * SHOWN_CHARACTERS))
        .slice(0, SHOWN_CHARACTERS)
        .join('');
    },
    count(next) {
      if (lines.length === 1) tries = next;
    },
    get tries() {
      return tries;
    },
    stored,
    get sent() {
      return inFlight() > 0;
    },
    facts() {
      const sent = inFlight();
      const waits = [...states.values()].flatMap((state) => {
        const fact = state === 'sent' ? null : state().fact;
        return fact === null ? [] : [{ ...fact, lines: 1 }];
      });
      const [first] = waits;
      // Lines that have not begun wait for what holds up the first one.
      if (first !== undefined && sent === 0) first.lines += Math.max(0, lines.length - stored.completed - stored.failed - states.size);
      return { inFlight: sent, waiting: sumWaits(waits) };
    },
    describe() {
      if (lines.length === 1) return { custom_id: customId, line: lines[0], waiting: waiting() };
      const { completed, failed } = stored;
      const counts: SliceCounts = { completed, failed: isContested ? 0 : failed };
      return { ...counts, done: completed + failed, of: lines.length, in_flight: inFlight(), waiting: waiting() };
    },
  };
}
