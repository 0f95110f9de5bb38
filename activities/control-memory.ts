import type { PieceEntry } from '../src/domain/piece.ts';
import { createTurns } from './run-requests/turns.ts';

const MIB = 1024 * 1024;
/** What validation, closing and publishing of a process hold at a time, beside the memory of requests. */
const CONTROL_BYTES = 256 * MIB;
/** Publishing may take minutes. So much is left for the publishings of all slots that a long line waits for closings only, which take seconds. */
const LONG_LINE_BYTES = CONTROL_BYTES - 64 * MIB;
/** Objects of shards that one publishing reads ahead. */
const PUBLISHING_BYTES = 4 * MIB;
/** Result lines that one closing reads at a time; see `readLines`. A longer line is alone. */
const WINDOW_BYTES = 24 * MIB;
/** With the lines that it keeps from their listing. */
const CLOSING_BYTES = WINDOW_BYTES + 8 * MIB;
/** What a long line takes, in lengths of the line: its buffer, and the smaller one that it was copied from. */
const CHECK_LENGTHS = 1.5;

/** Reservations, each until disposed. They reject with the signal's reason when that ends first. */
export interface ControlMemory {
  /** For a line of up to `mostBytes`, of which little is held so far. */
  longLine(mostBytes: number, signal: AbortSignal): Promise<Disposable>;
  /** For the closing of a shard. */
  closing(signal: AbortSignal): Promise<ClosingMemory>;
  /** For the read-ahead of one publishing. */
  publishing(signal: AbortSignal): Promise<Disposable>;
}

export interface ClosingMemory extends Disposable {
  /** Waits for more where one of these result lines alone needs more than a window has. To be called before lines are read. */
  fit(entries: readonly Pick<PieceEntry, 'length'>[], signal: AbortSignal): Promise<void>;
}

/**
 * Reservations are granted in the order of the requests. An activity holds one at a time, which rules out a deadlock. An activity that asks for
 * more than there is gets all of it, alone.
 */
export function createControlMemory(): ControlMemory {
  const turns = createTurns(CONTROL_BYTES);
  return {
    longLine: async (mostBytes, signal) => await turns.take(Math.min(LONG_LINE_BYTES, CHECK_LENGTHS * mostBytes), signal),
    publishing: async (signal) => await turns.take(PUBLISHING_BYTES, signal),
    async closing(asking) {
      let held = await turns.take(CLOSING_BYTES, asking);
      return {
        async fit(entries, signal) {
          const longest = entries.reduce((most, { length }) => Math.max(most, length), 0);
          if (longest <= WINDOW_BYTES) return;
          held[Symbol.dispose]();
          held = await turns.take(CLOSING_BYTES - WINDOW_BYTES + longest, signal);
        },
        [Symbol.dispose]: () => held[Symbol.dispose](),
      };
    },
  };
}
