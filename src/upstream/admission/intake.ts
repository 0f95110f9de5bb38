import { createWaitingLine } from '../../async/waiting-line.ts';

/**
 * Counts the lines of an upstream that this process has taken and not finished, and says when it may take more: so backlog
 * stays in Temporal, where every worker can take it.
 */
export interface Intake {
  /** Waits until there is capacity for one more slice; rejects with the signal's reason when it ends first. */
  reserve(signal: AbortSignal): Promise<Reservation>;
  /** The same without waiting; null when there is none. */
  reserveNow(): Reservation | null;
  /** A slice of so many lines begins here; none for one that takes no capacity from others. */
  take(lines: number): TakenSlice;
  /** Lines that wait and have given their capacity away. */
  readonly aside: number;
}

/** Room kept for a slice that has not begun yet. */
export interface Reservation {
  /** The slice has come: the next one that begins ends this, so that none counts twice or, for a moment, not at all. */
  arrive(): void;
  /** It will not begin, or has ended. Ends once. */
  end(): void;
}

/** The lines of one slice; what is left of them counts as finished when it is disposed. */
export interface TakenSlice extends Disposable {
  /** Of slices of this upstream, counted as they are taken. */
  readonly ordinal: number;
  finishLine(): void;
  /**
   * A line that waits for its own model or its own retry gives its capacity to other lines. Call what it answers when the line goes on,
   * before the slice ends: it takes the capacity back, even where there is none left.
   */
  stepAside(): () => void;
}

/** In places in flight: as many lines again as fill them, so that a place never waits for Temporal. */
const LINES_PER_PLACE = 2;
/** Where answers are fast these lines end sooner than the next slice comes: then as many as finish in this time. */
const AHEAD_MS = 500;
/** Time over which finished lines are counted. */
const WINDOW_MS = 250;
/** A slice that has not come yet counts for as many lines as slices lately had. */
const SHARE_OF_NEWEST = 0.25;

/** Nothing taken. `limit` is how many requests the upstream may have in flight now. */
export function createIntake({
  limit,
  maxSlices,
  monotonicMs = () => performance.now(),
}: {
  limit: () => number;
  maxSlices: number;
  monotonicMs?: () => number;
}): Intake {
  const line = createWaitingLine();
  const arrived = new Set<Reservation>();
  let [lines, slices, taken, reserved, linesPerSlice] = [0, 0, 0, 0, 1];
  let allAside = 0;
  let [linesPerMs, windowLines, windowSinceMs] = [0, 0, 0];

  function hasCapacity(): boolean {
    const enough = Math.max(LINES_PER_PLACE * limit(), AHEAD_MS * finishedPerMs());
    return slices + reserved < maxSlices && lines + reserved * linesPerSlice < enough;
  }

  /** Of the last whole window, or of the one that has gone on for longer because fewer finish now, or none. */
  function finishedPerMs(): number {
    const passedMs = monotonicMs() - windowSinceMs;
    return passedMs <= WINDOW_MS ? linesPerMs : windowLines / passedMs;
  }

  function countFinished(): void {
    windowLines += 1;
    const nowMs = monotonicMs();
    const passedMs = nowMs - windowSinceMs;
    if (passedMs < WINDOW_MS) return;
    linesPerMs = windowLines / passedMs;
    windowLines = 0;
    windowSinceMs = nowMs;
  }

  function newReservation(): Reservation {
    reserved += 1;
    let ended = false;
    const reservation: Reservation = {
      arrive() {
        if (!ended) arrived.add(reservation);
      },
      end() {
        if (ended) return;
        ended = true;
        arrived.delete(reservation);
        reserved -= 1;
        line.admit();
      },
    };
    return reservation;
  }

  return {
    get aside() {
      return allAside;
    },
    reserve: async (signal) => await line.enter(signal, () => (hasCapacity() ? newReservation() : null)),
    reserveNow() {
      return line.length === 0 && hasCapacity() ? newReservation() : null;
    },
    take(count) {
      let [left, aside] = [count, 0];
      taken += 1;
      lines += count;
      slices += 1;
      linesPerSlice += (Math.max(1, count) - linesPerSlice) * SHARE_OF_NEWEST;
      const [reservation] = arrived;
      reservation?.end();
      return {
        ordinal: taken,
        finishLine() {
          if (left === 0) return;
          left -= 1;
          lines -= 1;
          countFinished();
          line.admit();
        },
        stepAside() {
          let isAside = aside < left;
          if (isAside) {
            aside += 1;
            allAside += 1;
            lines -= 1;
            line.admit();
          }
          return () => {
            if (!isAside) return;
            isAside = false;
            aside -= 1;
            allAside -= 1;
            lines += 1;
          };
        },
        [Symbol.dispose]() {
          lines -= left - aside;
          allAside -= aside;
          aside = 0;
          left = 0;
          slices -= 1;
          line.admit();
        },
      };
    },
  };
}
