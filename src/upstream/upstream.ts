import type { UpstreamPause } from '../domain/upstream-pauses.ts';
import type { RetryRules } from '../domain/retry.ts';
import type { Rates, ServerState } from '../domain/worker-state.ts';
import type { Entrant, Entry, WaitReason } from './admission/entrant.ts';
import type { ClosedGate } from './admission/gate.ts';
import type { Intake } from './admission/intake.ts';
import type { UpstreamServer } from './admission/server.ts';

/** One upstream as workers use it. */
export interface Upstream {
  readonly name: string;
  readonly rules: RetryRules;
  /** Requests per minute from all workers together, held by the rate of its task queue; null for no limit. */
  readonly requestsPerMinute: number | null;
  readonly intake: Intake;
  /** The body as this upstream takes it: aliases replaced and members added. The same bytes where nothing is configured. */
  readonly rewrite: (body: Uint8Array) => Uint8Array;
  /** Whether `rewrite` may answer other bytes. */
  readonly copiesBodies: boolean;
  /** Requests that may be in flight now, over all servers. */
  readonly limit: number;
  /** What the limit may come to before long. */
  readonly reach: number;
  readonly inFlight: number;
  readonly servers: number;
  /** Requests that wait for a place or a gate. */
  readonly waiting: number;
  /** What holds requests back now; `model` is null for a whole server. */
  readonly closedGates: readonly { server: string; model: string | null; closed: ClosedGate }[];
  /** When its quiet hours end, in words; null outside of them. */
  readonly quietUntil: string | null;
  /** How each server does now; `ended` counts since the process began. */
  serverStates(): (Omit<ServerState, 'rates'> & { ended: Rates })[];
  /** What an operator has paused; requests in flight go on. Null lets requests go. */
  pause: UpstreamPause | null;
  /** Leave to send one request; see `Admission.enter`. */
  enter(entrant: Entrant, signal: AbortSignal): Entry | Promise<Entry>;
  /** Why a request of the model would wait now. */
  reasonFor(entrant: Pick<Entrant, 'model'>): WaitReason;
  /** The server's number, for `serverAt`; stable while its configuration is. */
  numberOf(server: UpstreamServer | null): number | null;
  serverAt(number: number | null): UpstreamServer | null;
  /** The outcome's message of a request that was given up. */
  readonly givenUpMessage: string;
  /** Goes by what its servers tell of their queues and by what the other workers know, until the signal ends. Never rejects. */
  follow(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
