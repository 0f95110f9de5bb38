import { createTurns, type Turns } from './turns.ts';

/** Suspects of which nothing more is known that may be on the wire together. */
const TOGETHER = 8;

/**
 * Requests that lost their worker twice, and may be why. The more often one was on the wire when its worker died, the fewer go
 * together with it: eight, four, two, and from the third time on it goes alone. So whole crews that lost their worker twice for
 * another reason are through soon, and what ends a request are at least two deaths that no other request can be blamed for.
 */
export interface Suspects {
  /** Waits for its turn among the suspects of its upstream, until disposed; rejects when the signal ends first. */
  turn(upstream: string, lossesOnWire: number, signal: AbortSignal): Promise<Disposable>;
  /** Waits to be on the wire with few suspects of this process, whatever their upstream, because one crash ends them all. */
  join(lossesOnWire: number, signal: AbortSignal): Promise<Disposable>;
}

export function createSuspects(): Suspects {
  // Per upstream, because a turn lasts as long as the upstream is away, and so that few places in flight wait for the wire.
  const byUpstream = new Map<string, Turns>();
  const onWire = createTurns(TOGETHER);

  return {
    async turn(upstream, lossesOnWire, signal) {
      const turns = byUpstream.get(upstream) ?? createTurns(TOGETHER);
      byUpstream.set(upstream, turns);
      return await turns.take(shareOf(lossesOnWire), signal);
    },
    join: async (lossesOnWire, signal) => await onWire.take(shareOf(lossesOnWire), signal),
  };
}

function shareOf(lossesOnWire: number): number {
  return 2 ** lossesOnWire;
}
