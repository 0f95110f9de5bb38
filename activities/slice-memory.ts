import { isJsonRecord } from '../src/domain/json-type.ts';

/** What a slice writes into its heartbeats for its own next attempt, beside what people want to know. */
export interface SliceMemory {
  attempt: number;
  /** Faults and refusals of the request of a slice of one. */
  faults: number;
  refusals: number;
  /** Whether that request is on the wire. */
  sent: boolean;
  /** Whether the attempt ended by itself. One that did not has lost its worker. */
  ended: boolean;
  /** Attempts before this one that lost their worker, and how many of them with the request known to be on the wire. */
  losses: number;
  losses_on_wire: number;
}

/** What an attempt knows of those before it. */
export interface Recollection {
  faults: number;
  refusals: number;
  losses: number;
  lossesOnWire: number;
  /** Whether pieces of earlier attempts may lie there: not if all of them ended with nothing but a fault. */
  mayHavePieces: boolean;
}

/**
 * Reads the last heartbeat of earlier attempts. An attempt that never came to beat has lost its worker as well, but nobody
 * knows whether its request was on the wire. `faults` are those that the slice came with.
 */
export function recall(details: unknown, { attempt, faults }: { attempt: number; faults: number }): Recollection {
  const found = asMemory(details);
  if (found === null) {
    const losses = attempt - 1;
    return { faults, refusals: 0, losses, lossesOnWire: 0, mayHavePieces: losses > 0 };
  }
  // Never negative: an operator can set the attempts back to 1.
  const silent = Math.max(0, attempt - 1 - found.attempt);
  const losses = found.losses + (found.ended ? 0 : 1) + silent;
  const lossesOnWire = found.losses_on_wire + (!found.ended && found.sent ? 1 : 0);
  return { faults: Math.max(faults, found.faults), refusals: found.refusals, losses, lossesOnWire, mayHavePieces: losses > 0 };
}

function asMemory(details: unknown): SliceMemory | null {
  if (!isJsonRecord(details)) return null;
  const { attempt, faults, refusals, sent, ended, losses, losses_on_wire } = details;
  const counts = [attempt, faults, refusals, losses, losses_on_wire];
  const isOurs = counts.every((count) => Number.isInteger(count)) && typeof sent === 'boolean' && typeof ended === 'boolean';
  if (!isOurs) return null;
  const [attemptCount = 0, faultCount = 0, refusalCount = 0, lossCount = 0, onWireCount = 0] = counts.map(Number);
  return { attempt: attemptCount, faults: faultCount, refusals: refusalCount, sent, ended, losses: lossCount, losses_on_wire: onWireCount };
}
