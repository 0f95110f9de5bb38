import type { UpstreamPause } from '../../domain/upstream-pauses.ts';
import type { ClosedGate } from './gate.ts';
import type { Permit } from './permit.ts';
import type { UpstreamServer } from './server.ts';

/** A line that wants to send its request. The same object for all attempts of one request in an activity. */
export interface Entrant {
  readonly tenant: string;
  readonly batchId: string;
  readonly model: string;
  /** 1 is most urgent, and goes before all others. */
  readonly priority: number;
  /** Of the requests of a batch, those of the lowest rank go first. */
  readonly rank: number;
  /** The same for all attempts of one request. */
  readonly requestKey: string;
  /** Failures of its own so far. */
  faults: number;
  /** Where it was last sent to: another server is preferred. */
  lastServer: UpstreamServer | null;
  /** How often it went out as a probe. */
  probes: number;
  /** Whether it was called off on a server that fell silent: a second time it is called off as a probe only. */
  wasCalledOff?: boolean;
  /** Whether it waits until a gate opens; if not, `enter` answers `'closed'` when no server is open to it. */
  atGate: boolean;
}

/** What `enter` answers. `'closed'`: no server is open to it. `'given_up'`: none has been for longer than is configured. */
export type Entry = Permit | 'closed' | 'given_up';

/** Why an entrant waits: a free place, a closed gate, a rate limit, the hours of the upstream, or an operator who has paused it. */
export type WaitReason =
  | { kind: 'place' | 'budget' }
  | { kind: 'gate'; closed: ClosedGate; model: string | null; server: string }
  /** Until when, for people: `19:00 Europe/Berlin`. */
  | { kind: 'hours'; until: string }
  /** By an operator, until another call. */
  | { kind: 'paused'; pause: UpstreamPause };
