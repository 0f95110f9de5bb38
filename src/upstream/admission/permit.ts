import type { Attempt, Sent } from '../../domain/attempt.ts';
import type { UpstreamRequest } from '../client/client.ts';
import { onAbort } from '../../async/on-abort.ts';
import type { Ticket } from './gate.ts';
import type { UpstreamServer } from './server.ts';

export type WatchedSend = (server: UpstreamServer, request: UpstreamRequest, signal: AbortSignal, onCalledOff: () => void) => Promise<Sent>;

/** Leave to send one request to one server. `send` or `release` must be called once. */
export class Permit {
  readonly isProbe: boolean;
  /** Whether it waited at a closed gate and does not go out as a probe. */
  readonly isLate: boolean;
  readonly server: UpstreamServer;
  readonly #ticket: Ticket;
  #endedAs: Attempt['kind'] | null = null;
  #wasCalledOff = false;
  readonly #settleMs: number;
  readonly #send: WatchedSend;
  readonly #onCalledOff: () => void;
  readonly #end: (sent: Sent) => void;

  constructor(given: {
    ticket: Ticket;
    settleMs: number;
    isProbe: boolean;
    isLate: boolean;
    server: UpstreamServer;
    send: WatchedSend;
    onCalledOff: () => void;
    end: (sent: Sent) => void;
  }) {
    this.isProbe = given.isProbe;
    this.isLate = given.isLate;
    this.server = given.server;
    this.#ticket = given.ticket;
    this.#settleMs = given.settleMs;
    this.#send = given.send;
    this.#onCalledOff = given.onCalledOff;
    this.#end = given.end;
  }

  /** Sends and gives the place back. Rejects only on defects. */
  async send(request: UpstreamRequest, signal: AbortSignal): Promise<Attempt> {
    let sent: Sent = NOTHING_SENT;
    try {
      sent = await this.#send(this.server, request, signal, () => {
        this.#wasCalledOff = true;
        this.#onCalledOff();
      });
      this.#endedAs = sent.attempt.kind;
      return sent.attempt;
    } finally {
      this.#end(sent);
    }
  }

  /** Gives the place back without sending. */
  release(): void {
    this.#end(NOTHING_SENT);
  }

  /**
   * Whether the attempt that failed does not count, because it was a probe, or because others failed alike with no answer between.
   * That takes some seconds to know where nothing else is sent, and less when the signal ends. A request that failed by itself before
   * may be what ends its server each time, so that its failure as a probe counts.
   */
  async isShared(signal: AbortSignal): Promise<boolean> {
    if (this.#wasCalledOff) return true;
    if (this.#ticket.verdict === 'own') return false;
    if (this.isProbe) return this.#ticket.isEvidence || this.#endedAs !== 'failed';
    const { verdict } = this.#ticket;
    if (verdict !== null) return verdict === 'shared';
    return await new Promise((resolve) => {
      const timer = setTimeout(() => this.#ticket.decide('own'), this.#settleMs);
      const forget = onAbort(signal, () => this.#ticket.decide('own'));
      this.#ticket.onVerdict((decided) => {
        clearTimeout(timer);
        forget();
        resolve(decided === 'shared');
      });
      if (signal.aborted) this.#ticket.decide('own');
    });
  }
}

export const NOTHING_SENT: Sent = { attempt: { kind: 'aborted' }, ms: 0, budgets: null };
