/** How many answers the mean remembers. */
const MEMORY_ANSWERS = 512;

/**
 * The mean time of an answer by Little's law: time in flight, of all requests, per answer. Those that come first are the
 * quick ones; a mean over them alone would take answers of a second for answers of a tenth.
 */
export interface AnswerTime {
  /** A request is on the wire. */
  begin(): void;
  /** It is not any more; `isAnswered` if an answer came. */
  end(isAnswered: boolean): void;
  /** Null before the first answer. */
  readonly meanMs: number | null;
}

/** Nothing in flight. */
export function createAnswerTime({ monotonicMs }: { monotonicMs: () => number }): AnswerTime {
  let [inFlight, sinceMs, flightMs, answers] = [0, 0, 0, 0];

  function account(): void {
    const nowMs = monotonicMs();
    flightMs += inFlight * (nowMs - sinceMs);
    sinceMs = nowMs;
  }

  return {
    begin() {
      account();
      inFlight += 1;
    },
    end(isAnswered) {
      account();
      inFlight -= 1;
      if (!isAnswered) return;
      const kept = 1 - 1 / MEMORY_ANSWERS;
      flightMs *= kept;
      answers = answers * kept + 1;
    },
    get meanMs() {
      account();
      return answers === 0 ? null : flightMs / answers;
    },
  };
}
