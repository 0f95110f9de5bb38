import type { Sent } from '../../domain/attempt.ts';
import { onAbort } from '../../async/on-abort.ts';
import type { UpstreamRequest } from '../client/client.ts';
import type { Entrant, Entry, WaitReason } from './entrant.ts';
import type { UpstreamPause } from '../../domain/upstream-pauses.ts';
import { NOTHING_SENT, Permit } from './permit.ts';
import type { Schedule } from './schedule.ts';
import type { SendBudget } from './send-budget.ts';
import type { UpstreamServer } from './server.ts';
import { Silence } from './silence.ts';
import { Waiters, type Waiter } from './waiters.ts';

export interface AdmissionOptions {
  servers: readonly UpstreamServer[];
  /** How long all servers may be closed to a request before it gives up; null waits without end. */
  unavailableMaxMs: number | null;
  /** Whether a server serves one model until nothing more of it waits. */
  oneModelAtATime: boolean;
  /** The configured budget of tokens. */
  budget: SendBudget;
  schedule: Pick<Schedule, 'closed'>;
  /** How long an attempt that failed may wait to learn whether all others fail too. */
  settleMs: number;
  monotonicMs: () => number;
  nowMs: () => number;
  /** Sends; tracing puts its headers in here. */
  send: (server: UpstreamServer, request: UpstreamRequest, signal: AbortSignal) => Promise<Sent>;
  onWaited: (reason: WaitReason['kind'], seconds: number) => void;
}

/** How long one model may keep a server to itself while another one waits. */
const MODEL_TURN_MS = 10 * 60_000;
const LONGEST_TIMER_MS = 60_000;

/**
 * Decides when a request goes out, and to which server. There is one question, `enter`, and one act, `Permit.send`. Places are shared:
 * the next one goes to the most urgent request, and of equals to the tenant, then the batch, with the fewest requests in flight.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #waiters = new Waiters();
  readonly #inFlight = new Map<string, number>();
  readonly #silence: Silence;
  #timer: NodeJS.Timeout | null = null;
  #pause: UpstreamPause | null = null;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#silence = new Silence(options.servers, options.monotonicMs);
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** What an operator has paused; null lets requests go again. */
  get pause(): UpstreamPause | null {
    return this.#pause;
  }

  set pause(pause: UpstreamPause | null) {
    this.#pause = pause;
    this.pump();
  }

  /** Answers at once when nothing is to be waited for. Rejects with the signal's reason when that ends first. */
  enter(entrant: Entrant, signal: AbortSignal): Entry | Promise<Entry> {
    signal.throwIfAborted();
    const isShut = this.#shut() !== null;
    if (!isShut && this.#waiters.size === 0) {
      const probed = this.#dueProbe(entrant.model);
      if (probed !== null) return this.#permit(entrant, probed, true);
      const server = this.#freeServer(entrant, this.#options.monotonicMs());
      if (server !== null) return this.#permit(entrant, server, false);
    }
    if (!entrant.atGate && this.#isClosed(entrant.model)) return 'closed';
    return this.#wait(entrant, signal);
  }

  /** Why it would wait if it came now. */
  reasonFor(entrant: Pick<Entrant, 'model'>): WaitReason {
    const shut = this.#shut();
    if (shut !== null) return shut.reason;
    let first: WaitReason | null = null;
    for (const server of this.#options.servers) {
      const found = server.closedFor(entrant.model);
      if (found === null) {
        const waitMs = this.#budgetWaitMs(server, entrant.model, this.#options.monotonicMs());
        return { kind: waitMs > 0 ? 'budget' : 'place' };
      }
      first ??= { kind: 'gate', ...found, server: server.label };
    }
    return first ?? { kind: 'place' };
  }

  /** Hands out what can be handed out. To be called when a limit or a gate has changed. */
  readonly pump = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#waiters.size === 0) return;
    const shut = this.#shut();
    if (shut !== null) {
      this.turnAway();
      return this.#waiters.size === 0 ? undefined : this.#wakeIn(shut.untilMs - this.#options.nowMs());
    }
    const nowMs = this.#options.monotonicMs();
    this.#sendProbes();
    while (this.#waiters.size > 0 && this.#grantNext(nowMs));
    this.#giveUp(nowMs);
    if (this.#waiters.size > 0) this.#wakeIn(this.#nextWakeMs(nowMs));
  };

  /** Sends away those who did not come to wait at a gate, where one has closed. */
  turnAway(): void {
    for (const model of this.#waiters.models()) {
      if (!this.#isClosed(model)) continue;
      for (const waiter of this.#waiters.takeModel(model, ({ atGate }) => !atGate)) waiter.end('closed');
    }
  }

  /** What keeps all requests back, whatever their model; null where nothing does. */
  #shut(): { untilMs: number; reason: WaitReason } | null {
    if (this.#pause !== null) return { untilMs: Infinity, reason: { kind: 'paused', pause: this.#pause } };
    const closed = this.#options.schedule.closed();
    return closed === null ? null : { untilMs: closed.untilMs, reason: { kind: 'hours', until: closed.inWords } };
  }

  #isClosed(model: string): boolean {
    return this.#shut() !== null || this.#options.servers.every((server) => server.closedFor(model) !== null);
  }

  #wait(entrant: Entrant, signal: AbortSignal): Promise<Entry> {
    const { kind } = this.reasonFor(entrant);
    const sinceMs = this.#options.monotonicMs();
    return new Promise((resolve, reject) => {
      const leave = () => {
        forget();
        this.#options.onWaited(kind, (this.#options.monotonicMs() - sinceMs) / 1000);
      };
      const waiter: Waiter = {
        entrant,
        take: (server, isProbe) => {
          leave();
          resolve(this.#permit(entrant, server, isProbe));
        },
        end: (entry) => {
          leave();
          resolve(entry);
        },
      };
      const forget = onAbort(signal, () => {
        this.#waiters.remove(waiter);
        leave();
        reject(signal.reason);
      });
      this.#waiters.add(waiter);
      this.pump();
    });
  }

  #permit(entrant: Entrant, server: UpstreamServer, isProbe: boolean): Permit {
    const { tenant, batchId, model, requestKey, faults, atGate } = entrant;
    entrant.atGate = false;
    if (isProbe) entrant.probes += 1;
    else if (server.turn?.model !== model) server.turn = { model, sinceMs: this.#options.monotonicMs() };
    entrant.lastServer = server;
    const cost = this.#options.budget.sent(this.#options.monotonicMs());
    const { ticket, end } = server.begin({ model, requestKey, isProbe, isEvidence: faults === 0 });
    this.#count(tenant, batchId, 1);
    return new Permit({
      ticket,
      isProbe,
      isLate: atGate && !isProbe,
      server,
      settleMs: this.#options.settleMs,
      send: async (to, request, signal, onCalledOff) => {
        const { send } = this.#options;
        if (this.#options.servers.length === 1 || (entrant.wasCalledOff === true && !isProbe)) return await send(to, request, signal);
        return await this.#silence.send({ server: to, model, request, send, onCalledOff }, signal);
      },
      onCalledOff: () => (entrant.wasCalledOff = true),
      end: (sent) => {
        this.#count(tenant, batchId, -1);
        end(sent);
        if (sent === NOTHING_SENT) this.#options.budget.unsent(cost);
        else this.#options.budget.seen(cost, costOf(sent), this.#options.monotonicMs());
        this.pump();
      },
    });
  }

  #count(tenant: string, batchId: string, change: number): void {
    for (const key of [tenant, `${tenant}/${batchId}`]) {
      const next = (this.#inFlight.get(key) ?? 0) + change;
      if (next === 0) this.#inFlight.delete(key);
      else this.#inFlight.set(key, next);
    }
  }

  /** A closed server that is to be probed now. */
  #dueProbe(model: string): UpstreamServer | null {
    return this.#options.servers.find((server) => server.closedFor(model) !== null && server.probeWaitMs(model) === 0) ?? null;
  }

  /** The server that can take it with the least in flight for its limit, another one than the last where there is one. */
  #freeServer({ model, lastServer }: Entrant, nowMs: number): UpstreamServer | null {
    let best: UpstreamServer | null = null;
    for (const server of this.#options.servers) {
      if (!this.#canTake(server, model, nowMs)) continue;
      const isLess = best === null || server.inFlight * best.limit < best.inFlight * server.limit;
      if (best === null || (server !== lastServer && (isLess || best === lastServer))) best = server;
    }
    return best;
  }

  #canTake(server: UpstreamServer, model: string, nowMs: number): boolean {
    if (server.inFlight >= server.limit || server.closedFor(model) !== null) return false;
    return this.#budgetWaitMs(server, model, nowMs) === 0 && this.#servesNow(server, model, nowMs);
  }

  #servesNow(server: UpstreamServer, model: string, nowMs: number): boolean {
    const { turn, inFlight } = server;
    if (!this.#options.oneModelAtATime || turn === null) return true;
    // A model that waits for its gate or its rate limit keeps no other one from the server.
    const wantsTurn = (other: string) => server.closedFor(other) === null && this.#budgetWaitMs(server, other, nowMs) === 0;
    const models = this.#waiters.models();
    const isOver = nowMs - turn.sinceMs >= MODEL_TURN_MS && [...models].some((other) => other !== turn.model && wantsTurn(other));
    if (turn.model === model) return !isOver || inFlight === 0;
    return inFlight === 0 && (isOver || !models.has(turn.model) || !wantsTurn(turn.model));
  }

  #budgetWaitMs(server: UpstreamServer, model: string, nowMs: number): number {
    return Math.max(this.#options.budget.waitMs(nowMs), server.budgetWaitMs(model, nowMs));
  }

  #sendProbes(): void {
    for (const server of this.#options.servers) {
      if (!server.hasClosedGate) continue;
      for (const { model } of server.closedGates) {
        const waiter = this.#waiters.leastProbed((waiting) => (model === null || waiting === model) && server.probeWaitMs(waiting) === 0);
        if (waiter === null) continue;
        this.#waiters.remove(waiter);
        waiter.take(server, true);
      }
    }
  }

  /** Gives one place to the waiter whose turn it is: to one that prefers another server only if no other one wants the place. */
  #grantNext(nowMs: number): boolean {
    const isChoice = this.#options.servers.length > 1;
    return (isChoice && this.#grantOne(nowMs, ({ lastServer }, server) => lastServer !== server)) || this.#grantOne(nowMs, () => true);
  }

  #grantOne(nowMs: number, wants: (entrant: Entrant, server: UpstreamServer) => boolean): boolean {
    const { servers } = this.#options;
    const order = servers.length === 1 ? servers : servers.toSorted((a, b) => a.inFlight / a.limit - b.inFlight / b.limit);
    for (const server of order) {
      if (server.inFlight >= server.limit) continue;
      const waiter = this.#waiters.next({
        inFlight: this.#inFlight,
        mayGo: (model) => this.#canTake(server, model, nowMs),
        wants: (entrant) => wants(entrant, server),
      });
      if (waiter === null) continue;
      this.#waiters.remove(waiter);
      waiter.take(server, false);
      return true;
    }
    return false;
  }

  #giveUp(nowMs: number): void {
    const { unavailableMaxMs, servers } = this.#options;
    if (unavailableMaxMs === null) return;
    for (const model of this.#waiters.models()) {
      const isGone = servers.every((server) => {
        const found = server.closedFor(model);
        return found !== null && nowMs - found.closed.closedAtMs >= unavailableMaxMs;
      });
      if (isGone) for (const waiter of this.#waiters.takeModel(model)) waiter.end('given_up');
    }
  }

  /** Milliseconds until something may change by itself; infinite when only an end of a request can. */
  #nextWakeMs(nowMs: number): number {
    let wakeMs = Infinity;
    if (this.#options.servers.every((server) => !server.hasClosedGate && server.inFlight >= server.limit)) return wakeMs;
    for (const model of this.#waiters.models()) {
      for (const server of this.#options.servers) {
        const found = server.closedFor(model);
        if (found === null) {
          if (server.inFlight < server.limit) wakeMs = Math.min(wakeMs, this.#budgetWaitMs(server, model, nowMs) || Infinity);
          continue;
        }
        const { unavailableMaxMs } = this.#options;
        wakeMs = Math.min(wakeMs, server.probeWaitMs(model));
        if (unavailableMaxMs !== null) wakeMs = Math.min(wakeMs, Math.max(1, found.closed.closedAtMs + unavailableMaxMs - nowMs));
      }
    }
    return wakeMs;
  }

  #wakeIn(ms: number): void {
    if (ms === Infinity) return;
    this.#timer = setTimeout(this.pump, Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(ms))));
  }
}

/** The configured budget counts tokens, and takes no other word for them. */
function costOf({ attempt }: Sent): Parameters<SendBudget['seen']>[1] {
  if (attempt.kind === 'answered') return { kind: 'answer', ms: null, totalTokens: attempt.usage?.total_tokens ?? null };
  if (attempt.kind === 'refused') return { kind: 'overload', retryAfterMs: null };
  return { kind: 'ignored' };
}
