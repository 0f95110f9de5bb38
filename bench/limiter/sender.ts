import type { Attempt } from '../../src/domain/attempt.ts';
import { decide, NO_TRIES, timeoutFactor, type Tries, uncounted } from '../../src/domain/retry.ts';
import type { ConcurrencyControl } from '../../src/upstream/admission/concurrency-control.ts';
import { Gate, Ticket } from '../../src/upstream/admission/gate.ts';
import type { Observation } from '../../src/upstream/admission/observation.ts';
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
  /** Sends what may be sent. To be called when the limit may have grown. */
  pump(): void;
}

interface Line {
  key: string;
  tries: Tries;
}

const RULES = { maxFaults: 5, maxRefusals: null };
const MAX_BUDGET_WAIT_MS = 60_000;
const SETTLE_MS = 5_000;
/** Lines that may wait for their next try; then no more are begun. */
const MAX_ASIDE = 512;

/** Sends by production's rules for retries and gates. A line that waits for its next try takes no place. */
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
  const now = () => clock.nowMs;
  const budget = createSendBudget({ tokensPerMinute: null, maxWaitMs: MAX_BUDGET_WAIT_MS });
  const gate = new Gate({ leastModels: 1, nowMs: now, monotonicMs: now, onChange: () => clock.after(0, pump) });
  const again: Line[] = [];
  let [lines, sequence, inFlight, aside] = [0, 0, 0, 0];
  let [answers, tokens, refused, failed] = [0, 0, 0, 0];
  let cancelWake = (): void => undefined;

  function pump(): void {
    cancelWake();
    let waitMs = 0;
    if (gate.closed !== null) {
      if (gate.probeWaitMs === 0) send(again.shift() ?? newLine(), true);
      waitMs = gate.probeWaitMs;
    }
    while (gate.closed === null && inFlight < control.limit && (again.length > 0 || aside < MAX_ASIDE)) {
      waitMs = budget.waitMs(now());
      if (waitMs > 0) break;
      send(again.shift() ?? newLine(), false);
    }
    if (waitMs > 0 && waitMs < Infinity) cancelWake = clock.after(waitMs, pump);
  }

  function newLine(): Line {
    lines += 1;
    return { key: String(lines), tries: NO_TRIES };
  }

  function send(line: Line, isProbe: boolean): void {
    inFlight += 1;
    sequence += 1;
    const sentMs = now();
    const { key: requestKey, tries } = line;
    const ticket = new Ticket({ sequence, requestKey, model: 'm', isProbe, isEvidence: tries.faults === 0, sentMs });
    const learn = isProbe ? control.probed() : control.sent(inFlight);
    const cost = budget.sent(sentMs);
    gate.sent(ticket);
    const end = (reply: Reply | { kind: 'timeout' }): void => {
      inFlight -= 1;
      const seen = observationOf(reply, now() - sentMs, usage);
      learn(seen);
      budget.seen(cost, seen, now());
      const attempt = attemptOf(reply);
      gate.observe(ticket, attempt);
      settle(line, attempt, ticket);
      pump();
    };
    const hangUp = server.send((reply) => {
      cancelTimeout();
      if (reply.kind === 'answer') tokens += reply.tokens;
      end(reply);
    });
    const cancelTimeout = clock.after(timeoutMs * timeoutFactor(tries), () => {
      hangUp();
      end({ kind: 'timeout' });
    });
  }

  function settle(line: Line, attempt: Exclude<Attempt, { kind: 'aborted' }>, ticket: Ticket): void {
    if (attempt.kind === 'answered') answers += 1;
    else if (attempt.kind !== 'failed') {
      if (attempt.kind === 'refused') refused += 1;
      goOn(line, attempt, ticket.isProbe && attempt.kind === 'refused');
    } else if (ticket.isProbe || ticket.verdict !== null) goOn(line, attempt, ticket.isProbe || ticket.verdict === 'shared');
    else {
      ticket.onVerdict((verdict) => goOn(line, attempt, verdict === 'shared'));
      clock.after(SETTLE_MS, () => ticket.decide('own'));
    }
  }

  function goOn(line: Line, attempt: Exclude<Attempt, { kind: 'aborted' }>, isFree: boolean): void {
    if (isFree) {
      line.tries = uncounted(attempt, line.tries);
      again.push(line);
      return;
    }
    const next = decide(attempt, line.tries, RULES, random());
    line.tries = next.tries;
    if (next.kind === 'outcome') failed += 1;
    else {
      aside += 1;
      clock.after(next.waitMs, () => {
        aside -= 1;
        again.push(line);
        pump();
      });
    }
  }

  pump();
  return {
    pump,
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
  };
}

function observationOf(reply: Reply | { kind: 'timeout' }, ms: number, usage: boolean): Observation {
  switch (reply.kind) {
    case 'answer': {
      const tokens = usage ? reply.tokens : null;
      return { kind: 'answer', ms, outputTokens: tokens, totalTokens: tokens, budgets: reply.budgets ?? null };
    }
    case 'refusal':
      return { kind: 'overload', retryAfterMs: reply.retryAfterMs, budgets: reply.budgets ?? null };
    case 'unavailable':
      return { kind: 'unavailable' };
    case 'timeout':
      return { kind: 'timeout', ms };
    case 'reset':
      return { kind: 'fault', answered: false };
  }
}

const ANSWER = { status: 200, body: Buffer.alloc(0), requestId: null };

function attemptOf(reply: Reply | { kind: 'timeout' }): Exclude<Attempt, { kind: 'aborted' }> {
  switch (reply.kind) {
    case 'answer':
      return { kind: 'answered', answer: ANSWER, usage: null };
    case 'refusal':
      return { kind: 'refused', answer: ANSWER, retryAfterMs: reply.retryAfterMs, message: '' };
    case 'unavailable':
      return { kind: 'away', message: '' };
    case 'timeout':
    case 'reset': {
      const code = reply.kind === 'timeout' ? 'request_timeout' : 'connection_error';
      return { kind: 'failed', code, answer: null, retryAfterMs: null, isCurable: true, message: '' };
    }
  }
}
