import type { Attempt, Sent } from '../../domain/attempt.ts';
import type { UpstreamRequest } from '../client/client.ts';
import { onAbort } from '../../async/on-abort.ts';
import type { UpstreamServer } from './server.ts';

type Send = (server: UpstreamServer, request: UpstreamRequest, signal: AbortSignal) => Promise<Sent>;

interface OnWire {
  readonly server: UpstreamServer;
  readonly model: string;
  readonly sentMs: number;
  /** Answers of other servers for the model, when it went out. */
  readonly answeredElsewhere: number;
  readonly call: AbortController;
}

const LOOK_EVERY_MS = 500;
/** So many times as long as others take for an answer is too long. */
const TOO_LONG = 10;
/** Answers elsewhere that say how long answers take. */
const LEAST_ANSWERS = 10;

/**
 * Calls requests off that sit on a server which has answered nothing for a while, when other servers of the upstream answer the same
 * model many times faster. A timeout of half an hour would say the same, only later.
 */
export class Silence {
  readonly #servers: readonly UpstreamServer[];
  readonly #monotonicMs: () => number;
  readonly #onWire = new Set<OnWire>();
  #timer: NodeJS.Timeout | null = null;

  constructor(servers: readonly UpstreamServer[], monotonicMs: () => number) {
    this.#servers = servers;
    this.#monotonicMs = monotonicMs;
  }

  /** Sends through `send`; `onCalledOff` is called when the attempt that it answers is a request called off. */
  async send(
    given: { server: UpstreamServer; model: string; request: UpstreamRequest; send: Send; onCalledOff: () => void },
    signal: AbortSignal,
  ) {
    const { server, model, request, send, onCalledOff } = given;
    const call = new AbortController();
    const forget = onAbort(signal, () => call.abort());
    if (signal.aborted) call.abort();
    const sentMs = this.#monotonicMs();
    const wire = { server, model, sentMs, call, answeredElsewhere: this.#elsewhere(server, model).answered };
    this.#onWire.add(wire);
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS);
    try {
      const sent = await send(server, request, call.signal);
      if (sent.attempt.kind !== 'aborted' || signal.aborted || !call.signal.aborted) return sent;
      onCalledOff();
      const ms = this.#monotonicMs() - sentMs;
      return { attempt: silent(ms), ms, budgets: null };
    } finally {
      forget();
      this.#onWire.delete(wire);
      if (this.#onWire.size === 0 && this.#timer !== null) {
        clearInterval(this.#timer);
        this.#timer = null;
      }
    }
  }

  #look(): void {
    const nowMs = this.#monotonicMs();
    const silentServers = new Set<UpstreamServer>();
    for (const { server, model, sentMs, answeredElsewhere, call } of this.#onWire) {
      const { answered, slowestMs } = this.#elsewhere(server, model);
      const sinceMs = Math.max(sentMs, server.heardMs);
      const isSilent = nowMs - sinceMs >= Math.max(server.patienceMs, TOO_LONG * slowestMs);
      if (!isSilent || answered - answeredElsewhere < LEAST_ANSWERS) continue;
      silentServers.add(server);
      call.abort();
    }
    // It may be loading the model, which it would begin anew each time: every round gets twice the time.
    for (const server of silentServers) server.patienceMs *= 2;
  }

  #elsewhere(server: UpstreamServer, model: string): { answered: number; slowestMs: number } {
    const found = { answered: 0, slowestMs: 0 };
    for (const other of this.#servers) {
      if (other === server) continue;
      const { answered, slowestMs } = other.answersOf(model);
      found.answered += answered;
      found.slowestMs = Math.max(found.slowestMs, slowestMs);
    }
    return found;
  }
}

function silent(ms: number): Attempt {
  const message = `the server answered nothing for ${Math.round(ms / 1000)} s, while other servers answered`;
  return { kind: 'failed', code: 'request_timeout', answer: null, retryAfterMs: null, isCurable: true, message };
}
