/** How full the server was kept from the first request to the last, for those who measure what sends to it. */
export interface Load {
  /** Requests that came, and those that are over. */
  arrived: number;
  ended: number;
  /** Unix milliseconds with a fraction, so that another process can compare them; null before there was one. */
  firstArrivalMs: number | null;
  lastArrivalMs: number | null;
  lastEndMs: number | null;
  /** From the first arrival to the last: the number in flight summed over time, and how many ended. */
  inFlightMs: number;
  endedByLastArrival: number;
  /** Of all that came: the times that were drawn for their answers, summed. */
  drawnMs: number;
}

/** Keeps account of the load: a few additions per request, whatever their number. */
export function createLoadMeter(nowMs: () => number): {
  arrived(drawnMs: number): void;
  ended(): void;
  reset(): void;
  read(): Load;
} {
  let load = nothing();
  let inFlight = 0;
  let [sinceMs, inFlightMs] = [nowMs(), 0];

  function advance(): number {
    const now = nowMs();
    inFlightMs += inFlight * (now - sinceMs);
    sinceMs = now;
    return now;
  }

  return {
    arrived(drawnMs) {
      const now = advance();
      load.firstArrivalMs ??= now;
      load.lastArrivalMs = now;
      load.inFlightMs = inFlightMs;
      load.endedByLastArrival = load.ended;
      load.arrived += 1;
      load.drawnMs += drawnMs;
      inFlight += 1;
    },
    ended() {
      load.lastEndMs = advance();
      load.ended += 1;
      inFlight -= 1;
    },
    reset() {
      advance();
      inFlightMs = 0;
      load = nothing();
    },
    read: () => ({ ...load }),
  };
}

function nothing(): Load {
  return {
    arrived: 0,
    ended: 0,
    firstArrivalMs: null,
    lastArrivalMs: null,
    lastEndMs: null,
    inFlightMs: 0,
    endedByLastArrival: 0,
    drawnMs: 0,
  };
}
