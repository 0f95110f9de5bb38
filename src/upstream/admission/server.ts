import type { Attempt, Sent } from '../../domain/attempt.ts';
import type { ConcurrencyControl } from './concurrency-control.ts';
import { type ClosedGate, Gate, type GateOptions, Ticket } from './gate.ts';
import type { Observation } from './observation.ts';
import type { Schedule } from './schedule.ts';
import { createSendBudget, type SendBudget } from './send-budget.ts';
import type { ServerClient } from '../client/client.ts';

/** One model on a server: refusals, failures and rate limits of one model say nothing about the others. */
interface ServedModel {
  gate: Gate;
  budget: SendBudget;
  answers: { answered: number; slowestMs: number };
}

/** Models of which something is remembered; input lines can name any number. */
const MODELS_REMEMBERED = 1_000;
const NO_ANSWERS = { answered: 0, slowestMs: 0 } as const;
/** What the slowest answer still counts for after the next one. */
const FORGET = 0.99;
const FIRST_PATIENCE_MS = 5_000;

export interface ServerOptions extends Omit<GateOptions, 'leastModels' | 'onChange'> {
  /** Host and port, for logs. */
  label: string;
  client: ServerClient;
  control: ConcurrencyControl;
  schedule: Pick<Schedule, 'limit'>;
  /** `model` is null for the server as a whole. */
  onGateChange: (model: string | null, closed: ClosedGate | null, before: ClosedGate | null) => void;
}

/** One base URL of an upstream with what limits it: how many may be in flight, its gates, and the rate limits that it tells of. */
export class UpstreamServer {
  readonly label: string;
  readonly client: ServerClient;
  inFlight = 0;
  /** How many attempts ended how, since the process began. */
  readonly ended = { answers: 0, refusals: 0, faults: 0 };
  /** When it was last heard of, by the monotonic clock. */
  heardMs = -Infinity;
  /** How long it may answer nothing while other servers answer. */
  patienceMs = FIRST_PATIENCE_MS;
  /** The model that is served, and since when, where only one is at a time. */
  turn: { model: string; sinceMs: number } | null = null;
  readonly #options: ServerOptions;
  readonly #gate: Gate;
  readonly #models = new Map<string, ServedModel>();
  #closed = 0;
  #sequence = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.label = options.label;
    this.client = options.client;
    this.#gate = this.#createGate(null);
  }

  get limit(): number {
    return Math.min(this.#options.control.limit, this.#options.schedule.limit() ?? Infinity);
  }

  /** What the limit may come to before long. */
  get reach(): number {
    return this.#options.control.reach;
  }

  /** What keeps requests of the model from this server; null when they may go. */
  closedFor(model: string): { closed: ClosedGate; model: string | null } | null {
    const { closed } = this.#gate;
    if (closed !== null) return { closed, model: null };
    const ofModel = this.#models.get(model)?.gate.closed ?? null;
    return ofModel === null ? null : { closed: ofModel, model };
  }

  /** Milliseconds until a request of the model may go out as a probe through the gates that are closed. */
  probeWaitMs(model: string): number {
    const gates = [this.#gate, this.#models.get(model)?.gate].filter((gate) => gate !== undefined && gate.closed !== null);
    return Math.max(0, ...gates.map((gate) => gate?.probeWaitMs ?? 0));
  }

  /** Milliseconds until the rate limits that the server told of let the next request of the model go. */
  budgetWaitMs(model: string, nowMs: number): number {
    return this.#models.get(model)?.budget.waitMs(nowMs) ?? 0;
  }

  /** How many answers of the model there were, and how long the slowest of late took. */
  answersOf(model: string): { readonly answered: number; readonly slowestMs: number } {
    return this.#models.get(model)?.answers ?? NO_ANSWERS;
  }

  /** Whether any gate is closed; counted, because it is asked whenever a request ends. */
  get hasClosedGate(): boolean {
    return this.#closed > 0;
  }

  get closedGates(): { model: string | null; closed: ClosedGate }[] {
    const gates: [string | null, Gate][] = [
      [null, this.#gate],
      ...[...this.#models].map(([model, { gate }]): [string, Gate] => [model, gate]),
    ];
    return gates.flatMap(([model, { closed }]) => (closed === null ? [] : [{ model, closed }]));
  }

  /** A request goes out; answers what is to be called once with what became of it. */
  begin(given: { model: string; requestKey: string; isProbe: boolean; isEvidence: boolean }): {
    ticket: Ticket;
    end: (sent: Sent) => void;
  } {
    const { monotonicMs, control } = this.#options;
    const served = this.#servedModel(given.model);
    const sentMs = monotonicMs();
    const ticket = new Ticket({ ...given, sequence: (this.#sequence += 1), sentMs });
    this.inFlight += 1;
    const learn = given.isProbe ? control.probed() : control.sent(this.inFlight);
    const cost = served.budget.sent(sentMs);
    this.#gate.sent(ticket);
    served.gate.sent(ticket);
    return {
      ticket,
      end: (sent) => {
        this.inFlight -= 1;
        this.#hear(served, sent);
        const observation = observationOf(sent);
        learn(observation);
        served.budget.seen(cost, observation, monotonicMs());
        // That nothing listens at its address concerns all models.
        if (sent.attempt.kind === 'away') served.gate.observe(ticket, { kind: 'aborted' });
        else served.gate.observe(ticket, sent.attempt);
        this.#gate.observe(ticket, sent.attempt);
      },
    };
  }

  #hear({ answers }: ServedModel, { attempt, ms }: Sent): void {
    if (attempt.kind === 'answered' || attempt.kind === 'rejected') this.ended.answers += 1;
    else if (attempt.kind === 'refused') this.ended.refusals += 1;
    else if (attempt.kind !== 'aborted') this.ended.faults += 1;
    if ('answer' in attempt && attempt.answer !== null) this.heardMs = this.#options.monotonicMs();
    if (attempt.kind !== 'answered') return;
    this.patienceMs = FIRST_PATIENCE_MS;
    answers.answered += 1;
    answers.slowestMs = Math.max(ms, FORGET * answers.slowestMs);
  }

  #servedModel(model: string): ServedModel {
    const known = this.#models.get(model);
    if (known !== undefined) return known;
    if (this.#models.size >= MODELS_REMEMBERED) this.#forgetOne();
    const served: ServedModel = {
      gate: this.#createGate(model),
      budget: createSendBudget({ tokensPerMinute: null, maxWaitMs: Infinity }),
      answers: { ...NO_ANSWERS },
    };
    this.#models.set(model, served);
    return served;
  }

  #forgetOne(): void {
    for (const [model, { gate }] of this.#models) {
      if (!gate.isIdle) continue;
      this.#models.delete(model);
      return;
    }
  }

  #createGate(model: string | null): Gate {
    return new Gate({
      ...this.#options,
      leastModels: model === null ? 2 : 1,
      onChange: (closed, before) => {
        this.#closed += closed === null ? -1 : 1;
        this.#options.onGateChange(model, closed, before);
      },
    });
  }
}

/** What the limiter learns from an attempt. */
function observationOf({ attempt, ms, budgets }: Sent): Observation {
  switch (attempt.kind) {
    case 'answered': {
      const { usage } = attempt;
      return { kind: 'answer', ms, outputTokens: usage?.output_tokens ?? null, totalTokens: usage?.total_tokens ?? null, budgets };
    }
    case 'rejected':
      return { kind: 'answer', ms: null, budgets };
    case 'refused':
      return { kind: 'overload', retryAfterMs: attempt.retryAfterMs, budgets };
    case 'failed':
      return attempt.code === 'request_timeout' ? { kind: 'timeout', ms } : { kind: 'fault', answered: hasAnswered(attempt) };
    case 'away':
      return { kind: 'unavailable' };
    case 'denied':
    case 'aborted':
      return { kind: 'ignored' };
  }
}

function hasAnswered(attempt: Attempt & { kind: 'failed' }): boolean {
  return attempt.answer !== null || attempt.code === 'invalid_response';
}
