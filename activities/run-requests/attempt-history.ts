import { isJsonRecord } from '../../src/domain/json-type.ts';
import type { Tries } from '../../src/domain/retry.ts';

/** What an attempt of an activity writes into its heartbeats for the next one, beside what people want to know. */
export interface AttemptRecord {
  attempt: number;
  /** Tries of the request of a slice of one. */
  faults: number;
  timeouts: number;
  refusals: number;
  /** Number of the server to which that request was sent last. */
  server: number | null;
  /** Whether this attempt or one before it had results, which may be stored even if the attempt gave up on them; absent where none had. */
  left_results?: boolean;
  /** Whether that request is on the wire. */
  sent: boolean;
  /**
   * Whether it is not to blame if the worker is lost now: heavy control work runs in the process, or may run, because only a suspect is told
   * before that begins.
   */
  excused: boolean;
  /** Whether the attempt ended by itself. One that did not has lost its worker. */
  ended: boolean;
  /** Attempts before this one that lost their worker, and how many of them with the request known to be on the wire and not excused. */
  losses: number;
  losses_on_wire: number;
}

/** What an attempt knows of those before it. */
export interface AttemptHistory {
  tries: Tries;
  server: number | null;
  losses: number;
  lossesOnWire: number;
  /** Whether pieces of earlier attempts may exist or may still come: not if all of them ended with nothing but a fault. */
  mayHavePieces: boolean;
}

/**
 * Reads the last heartbeat of earlier attempts. An attempt that never came to beat has lost its worker as well, but it is not known whether
 * its request was on the wire. `tries` and `server` are those that the slice came with.
 */
export function readHistory(
  details: unknown,
  { attempt, tries, server = null }: { attempt: number; tries: Tries; server?: number | null },
): AttemptHistory {
  const found = asRecord(details);
  if (found === null) {
    const losses = attempt - 1;
    return { tries, server, losses, lossesOnWire: 0, mayHavePieces: losses > 0 };
  }
  // Never negative: an operator can set the attempts back to 1.
  const silent = Math.max(0, attempt - 1 - found.attempt);
  const losses = found.losses + (found.ended ? 0 : 1) + silent;
  const lossesOnWire = found.losses_on_wire + (!found.ended && found.sent && !found.excused ? 1 : 0);
  const mayHavePieces = losses > 0 || found.left_results === true;
  const refusals = Math.max(tries.refusals, found.refusals);
  const faults = Math.max(tries.faults, found.faults);
  const timeouts = Math.max(tries.timeouts, found.timeouts);
  return { tries: { faults, timeouts, refusals }, server: found.server, losses, lossesOnWire, mayHavePieces };
}

function asRecord(details: unknown): AttemptRecord | null {
  if (!isJsonRecord(details)) return null;
  const {
    attempt,
    faults,
    timeouts = 0,
    refusals,
    server,
    left_results = false,
    sent,
    excused = false,
    ended,
    losses,
    losses_on_wire,
  } = details;
  const counts = [attempt, faults, timeouts, refusals, losses, losses_on_wire];
  if (!counts.every((count) => Number.isInteger(count))) return null;
  if (typeof left_results !== 'boolean' || typeof sent !== 'boolean' || typeof excused !== 'boolean' || typeof ended !== 'boolean')
    return null;
  const [attemptCount = 0, faultCount = 0, timeoutCount = 0, refusalCount = 0, lossCount = 0, onWireCount = 0] = counts.map(Number);
  return {
    attempt: attemptCount,
    faults: faultCount,
    timeouts: timeoutCount,
    refusals: refusalCount,
    server: Number.isInteger(server) ? Number(server) : null,
    left_results,
    sent,
    excused,
    ended,
    losses: lossCount,
    losses_on_wire: onWireCount,
  };
}
