import type { Attempt } from '../../domain/attempt.ts';

/** Classes of attempts that may say something about the server and not about their request. */
export type GateClass = 'away' | 'refused' | 'failed' | 'denied';

export interface ClosedGate {
  kind: GateClass;
  /** The status and the server's own words, or what happened on the connection. */
  reason: string;
  /** Unix milliseconds. */
  sinceMs: number;
  /** The same by the monotonic clock. */
  closedAtMs: number;
}

/** A request on its way through a gate. */
export class Ticket {
  readonly sequence: number;
  readonly requestKey: string;
  readonly model: string;
  readonly isProbe: boolean;
  /** False for a request that failed by itself before: its failures prove nothing about the server. */
  readonly isEvidence: boolean;
  readonly sentMs: number;
  #verdict: 'own' | 'shared' | null = null;
  readonly #listeners: ((verdict: 'own' | 'shared') => void)[] = [];

  constructor(given: Pick<Ticket, 'sequence' | 'requestKey' | 'model' | 'isProbe' | 'isEvidence' | 'sentMs'>) {
    this.sequence = given.sequence;
    this.requestKey = given.requestKey;
    this.model = given.model;
    this.isProbe = given.isProbe;
    this.isEvidence = given.isEvidence;
    this.sentMs = given.sentMs;
  }

  /** Whether the attempt failed by its request's own doing, or as all others did; null while it is not known. */
  get verdict(): 'own' | 'shared' | null {
    return this.#verdict;
  }

  /** The first verdict stands. */
  decide(verdict: 'own' | 'shared'): void {
    if (this.#verdict !== null) return;
    this.#verdict = verdict;
    for (const listener of this.#listeners) listener(verdict);
  }

  onVerdict(listener: (verdict: 'own' | 'shared') => void): void {
    this.#listeners.push(listener);
  }
}

export interface GateOptions {
  /**
   * Models that a run of failures must concern before it closes this gate: 2 for the gate of a whole server, which leaves it to the
   * gate of the model to say that a request failed by itself.
   */
  leastModels: number;
  /** Unix time, for what is shown. */
  nowMs: () => number;
  monotonicMs: () => number;
  onChange: (closed: ClosedGate | null, before: ClosedGate | null) => void;
}

type Failure = Exclude<Attempt, { kind: 'answered' | 'rejected' | 'aborted' }>;

/** Different requests that must fail alike, with nothing answered between, before the gate closes. */
const RUN_TO_CLOSE = 3;
const FIRST_PROBE_MS = 250;
const MAX_PROBE_MS = 15_000;
/** A probe may take minutes to be answered; a few more may go out meanwhile, and then one after ever longer times. */
const MAX_PROBES = 4;
const RUNS_REMEMBERED = 20;
/** A request that has lasted for this long was not refused. */
const ACCEPTED_MS = 1_000;

/**
 * Holds requests back while a server, or one model on it, does not work. It closes at the first failure to connect with nothing answered
 * since, and when different requests fail alike with no answer to a request sent between. One request alone never closes it. While it is
 * closed, probes go out at growing intervals, and only an answer opens it.
 */
export class Gate {
  readonly #options: GateOptions;
  #closed: ClosedGate | null = null;
  #answeredSequence = 0;
  #answeredMs = -Infinity;
  /** Requests that ended alike with nothing answered since, by how they ended: when each went out, and its model. */
  readonly #runs = new Map<string, Map<string, { sequence: number; model: string }>>();
  /** The last request of the run that closed it. */
  #closingSequence = 0;
  readonly #undecided = new Set<Ticket>();
  readonly #onWire = new Set<Ticket>();
  #intervalMs = FIRST_PROBE_MS;
  #nextProbeMs = 0;
  /** No probe goes out before, because the server said so. */
  #notBeforeMs = 0;
  #probes = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Null while it is open. */
  get closed(): ClosedGate | null {
    return this.#closed;
  }

  /** Whether nothing is known that an own object would have to remember. */
  get isIdle(): boolean {
    return this.#closed === null && this.#runs.size === 0 && this.#onWire.size === 0;
  }

  /** Milliseconds until the next probe may go out; 0 for now. */
  get probeWaitMs(): number {
    return Math.max(0, Math.max(this.#nextProbeMs, this.#notBeforeMs) - this.#options.monotonicMs());
  }

  sent(ticket: Ticket): void {
    this.#onWire.add(ticket);
    if (!ticket.isProbe || this.#closed === null) return;
    this.#probes += 1;
    // Probes may hang long after the server works again.
    const waitMs = this.#probes < MAX_PROBES ? this.#intervalMs : MAX_PROBE_MS * 2 ** (this.#probes - MAX_PROBES + 1);
    this.#nextProbeMs = this.#options.monotonicMs() + waitMs;
    this.#intervalMs = Math.min(MAX_PROBE_MS, 2 * this.#intervalMs);
  }

  /** Learns what became of a request that went through. */
  observe(ticket: Ticket, attempt: Attempt): void {
    this.#onWire.delete(ticket);
    const isProbe = ticket.isProbe && this.#closed !== null;
    if (isProbe) {
      this.#probes = Math.max(0, this.#probes - 1);
      this.#nextProbeMs = Math.min(this.#nextProbeMs, this.#options.monotonicMs() + this.#intervalMs);
    }
    switch (attempt.kind) {
      case 'aborted':
        // It told nothing: the next probe need not wait for it.
        if (isProbe) this.#nextProbeMs = this.#options.monotonicMs();
        return;
      case 'answered':
      case 'rejected':
        return this.#answered(ticket, isProbe);
      default:
        if (!('isOwn' in attempt && attempt.isOwn)) return this.#failed(ticket, attempt, isProbe);
        ticket.decide('own');
        return this.#answered(ticket, isProbe);
    }
  }

  #answered(ticket: Ticket, isProbe: boolean): void {
    this.#answeredSequence = Math.max(this.#answeredSequence, ticket.sequence);
    this.#answeredMs = this.#options.monotonicMs();
    for (const [alike, run] of this.#runs) {
      for (const [key, { sequence }] of run) if (sequence < ticket.sequence) run.delete(key);
      if (run.size === 0) this.#runs.delete(alike);
    }
    for (const earlier of this.#undecided) if (earlier.sequence < ticket.sequence) this.#settleOwn(earlier);
    if (this.#closed === null) return;
    // A request from before the failures may still be answered by a server that goes away. One that only refuses is there.
    if (isProbe || this.#closed.kind === 'refused' || ticket.sequence > this.#closingSequence) this.#open();
  }

  #failed(ticket: Ticket, attempt: Failure, isProbe: boolean): void {
    if (this.#closed !== null) {
      this.#settle(ticket, 'shared');
      if (isProbe) this.#closed = { ...this.#closed, kind: attempt.kind, reason: attempt.message };
      this.#waitAtLeast(retryAfterOf(attempt));
      return;
    }
    if (ticket.sequence < this.#answeredSequence) return this.#settleOwn(ticket);
    // It probed another gate, whose failures are known already.
    if (ticket.isProbe && attempt.kind !== 'away') return;
    this.#undecided.add(ticket);
    ticket.onVerdict(() => this.#undecided.delete(ticket));
    if (!ticket.isEvidence) return;
    const run = this.#runOf(likenessOf(attempt));
    run.set(ticket.requestKey, { sequence: ticket.sequence, model: ticket.model });
    if (this.#isProven(ticket, attempt.kind, run)) this.#close(attempt, ticket.sequence);
  }

  #runOf(likeness: string): Map<string, { sequence: number; model: string }> {
    const run = this.#runs.get(likeness) ?? new Map<string, never>();
    // The newest comes last, and the oldest is forgotten: bodies of answers may all differ.
    this.#runs.delete(likeness);
    this.#runs.set(likeness, run);
    const [oldest] = this.#runs.keys();
    if (this.#runs.size > RUNS_REMEMBERED && oldest !== undefined) this.#runs.delete(oldest);
    return run;
  }

  #isProven(ticket: Ticket, kind: GateClass, run: ReadonlyMap<string, { model: string }>): boolean {
    // One connection of many may fail. A second failure with nothing answered between says that the server is away.
    if (kind === 'away') return this.#answeredMs < ticket.sentMs || run.size > 1;
    if (run.size < RUN_TO_CLOSE) return false;
    if (new Set([...run.values()].map(({ model }) => model)).size < this.#options.leastModels) return false;
    // A server that works on others is full, which is for the limiter to cure.
    return kind !== 'refused' || ![...this.#onWire].some(({ sentMs }) => this.#options.monotonicMs() - sentMs > ACCEPTED_MS);
  }

  #close(attempt: Failure, sequence: number): void {
    this.#closingSequence = sequence;
    this.#closed = { kind: attempt.kind, reason: attempt.message, sinceMs: this.#options.nowMs(), closedAtMs: this.#options.monotonicMs() };
    this.#probes = 0;
    this.#intervalMs = FIRST_PROBE_MS;
    this.#nextProbeMs = this.#options.monotonicMs() + this.#intervalMs;
    this.#notBeforeMs = 0;
    this.#waitAtLeast(retryAfterOf(attempt));
    this.#runs.clear();
    for (const ticket of this.#undecided) this.#settle(ticket, 'shared');
    this.#options.onChange(this.#closed, null);
  }

  #open(): void {
    const before = this.#closed;
    this.#closed = null;
    this.#probes = 0;
    this.#options.onChange(null, before);
  }

  #settleOwn(ticket: Ticket): void {
    if (this.#options.leastModels === 1) this.#settle(ticket, 'own');
    else this.#undecided.delete(ticket);
  }

  #settle(ticket: Ticket, verdict: 'own' | 'shared'): void {
    this.#undecided.delete(ticket);
    ticket.decide(verdict);
  }

  #waitAtLeast(ms: number | null): void {
    if (ms !== null) this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#options.monotonicMs() + ms);
  }
}

/** What failures of different requests must have in common to prove something about the server. */
function likenessOf(attempt: Failure): string {
  if (attempt.kind !== 'failed') return attempt.kind;
  // What was wrong with an answer is in its message, with the beginning of the body.
  if (attempt.code === 'invalid_response') return attempt.message;
  return `${attempt.code} ${attempt.answer?.status ?? ''}`;
}

function retryAfterOf(attempt: Attempt): number | null {
  return 'retryAfterMs' in attempt ? attempt.retryAfterMs : null;
}
