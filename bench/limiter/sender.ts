import type { ConcurrencyControl } from '../../src/upstream/admission/concurrency-control.ts';
import type { Observation } from '../../src/upstream/admission/observation.ts';
import { createRefusalCount } from '../../src/upstream/admission/refusal-count.ts';
import { createSendBudget } from '../../src/upstream/admission/send-budget.ts';
import type { Clock } from './clock.ts';
import type { Reply, SimulatedServer } from './servers.ts';

/** A worker with lines without end: as many are on their way as its control allows. */
export interface Sender {
  readonly answers: number;
  /** Output tokens of all answers. */
  readonly tokens: number;
  readonly refused: number;
  /** Lines that ended with an error, because their tries were used up. */
  readonly failed: number;
  readonly inFlight: number;
  /** Sends what may be sent. To be called when the limit may have grown. */
  pump(): void;
}

interface Line {
  faults: number;
  refusals: number;
  /** The next try waits longer than the last one, if that was not enough. */
  timeoutMs: number;
}

const MAX_FAULTS = 5;
const FAULT_WAITS_MS = [5_000, 15_000, 45_000, 135_000];
const MAX_REFUSAL_WAIT_MS = 60_000;
/** A gate closes when so many are refused with nothing answered between. */
const REFUSED_TO_CLOSE = 12;

/** Sends by production's rules: five faults end a line, refusals never do, and while nobody is there one request probes. */
export function createSender(given: {
  clock: Clock;
  server: SimulatedServer;
  control: ConcurrencyControl;
  timeoutMs: number;
  /** Whether answers tell their tokens. */
  usage: boolean;
  random: () => number;
}): Sender {
  const { clock, server, control, timeoutMs, usage, random } = given;
  const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: MAX_REFUSAL_WAIT_MS });
  const refusing = createRefusalCount({ memory: 12 });
  const again: Line[] = [];
  let [answers, tokens, refused, failed, inFlight] = [0, 0, 0, 0, 0];
  let cancelFill = (): void => undefined;
  // The gate: null while open, else how long the next probe waits after this one.
  let probeEveryMs: number | null = null;
  let pausedUntilMs = 0;

  function fill(): void {
    cancelFill();
    while (inFlight < control.limit) {
      const waitMs = Math.max(pausedUntilMs - clock.nowMs, budget.waitMs(clock.nowMs), refusing.waitMs(clock.nowMs));
      if (waitMs > 0) {
        cancelFill = clock.after(waitMs, fill);
        return;
      }
      if (probeEveryMs !== null) return probe();
      send(again.shift() ?? { faults: 0, refusals: 0, timeoutMs }, control.sent(inFlight + 1), () => undefined);
    }
  }

  function probe(): void {
    pausedUntilMs = clock.nowMs + (probeEveryMs ?? 0);
    probeEveryMs = Math.min(2 * (probeEveryMs ?? 0), 15_000);
    send(again.shift() ?? { faults: 0, refusals: 0, timeoutMs }, control.probed(), (seen) => {
      if (seen.kind === 'answer') probeEveryMs = null;
      if (seen.kind === 'answer') pausedUntilMs = 0;
    });
    cancelFill = clock.after(pausedUntilMs - clock.nowMs, fill);
  }

  function send(line: Line, learn: (seen: Observation) => void, concludeProbe: (seen: Observation) => void): void {
    inFlight += 1;
    const sentMs = clock.nowMs;
    const noted = budget.sent(sentMs);
    const count = refusing.sent(sentMs);
    const end = (seen: Observation): void => {
      inFlight -= 1;
      learn(seen);
      budget.seen(noted, seen, clock.nowMs);
      count(seen, clock.nowMs);
      concludeProbe(seen);
      goOn(line, seen);
      fill();
    };
    const hangUp = server.send((reply) => {
      cancelTimeout();
      if (reply.kind === 'answer') tokens += reply.tokens;
      end(observationOf(reply, clock.nowMs - sentMs, usage));
    });
    const cancelTimeout = clock.after(line.timeoutMs, () => {
      hangUp();
      end({ kind: 'timeout', ms: line.timeoutMs });
    });
  }

  function goOn(line: Line, seen: Observation): void {
    if (seen.kind === 'answer') {
      answers += 1;
    } else if (seen.kind === 'overload' || seen.kind === 'unavailable') {
      if (seen.kind === 'overload') refused += 1;
      else again.push(line);
      if (refusing.inARow >= REFUSED_TO_CLOSE || seen.kind === 'unavailable') closeGate();
      if (seen.kind === 'overload') refusedOnce(line, seen.retryAfterMs);
    } else {
      line.faults += 1;
      if (seen.kind === 'timeout') line.timeoutMs *= 2;
      if (line.faults >= MAX_FAULTS) failed += 1;
      else later(line, (FAULT_WAITS_MS[line.faults - 1] ?? 0) * (0.75 + random() / 2));
    }
  }

  function closeGate(): void {
    if (probeEveryMs !== null) return;
    probeEveryMs = 500;
    pausedUntilMs = Math.max(pausedUntilMs, clock.nowMs + 250);
  }

  function refusedOnce(line: Line, retryAfterMs: number | null): void {
    const waitMs = Math.max(retryAfterMs ?? 0, 250 * 2 ** Math.min(line.refusals, 6)) * (1 + random() / 4);
    line.refusals += 1;
    if (refusing.isMost && retryAfterMs !== null)
      pausedUntilMs = Math.max(pausedUntilMs, clock.nowMs + Math.min(retryAfterMs, MAX_REFUSAL_WAIT_MS));
    later(line, waitMs);
  }

  function later(line: Line, waitMs: number): void {
    clock.after(waitMs, () => {
      again.push(line);
      fill();
    });
  }

  fill();
  return {
    pump: fill,
    get answers() {
      return answers;
    },
    get tokens() {
      return tokens;
    },
    get refused() {
      return refused;
    },
    get failed() {
      return failed;
    },
    get inFlight() {
      return inFlight;
    },
  };
}

function observationOf(reply: Reply, ms: number, usage: boolean): Observation {
  switch (reply.kind) {
    case 'answer': {
      const tokens = usage ? reply.tokens : null;
      return { kind: 'answer', ms, outputTokens: tokens, totalTokens: tokens, budgets: reply.budgets ?? null };
    }
    case 'refusal':
      return { kind: 'overload', retryAfterMs: reply.retryAfterMs, budgets: reply.budgets ?? null };
    case 'unavailable':
      return { kind: 'unavailable' };
    case 'reset':
      return { kind: 'fault', answered: false };
  }
}
