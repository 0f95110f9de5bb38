import type { ActivityDeps } from './deps.ts';
import { createTurns, type Turns } from './turns.ts';

/** Suspects of which nothing more is known that may be on the wire together. */
const TOGETHER = 8;

/**
 * Requests that lost their worker twice, and may be why. The more often one was on the wire when its worker died, the fewer go
 * together with it: eight, four, two, and from the third time on it goes alone. So whole crews that lost their worker twice for
 * another reason are through soon, and what ends a request are at least two deaths that nobody else can be blamed for.
 */
export interface Suspects {
  /** Waits for its turn among the suspects of its upstream, until disposed; rejects when the signal ends first. */
  turn(upstream: string, lossesOnWire: number, signal: AbortSignal): Promise<Disposable>;
  /** The same sending, in company of few suspects of this process, whatever their upstream: one crash ends them all. */
  guarded(send: ActivityDeps['sendUntilDone'], lossesOnWire: number): ActivityDeps['sendUntilDone'];
}

/** No suspects. */
export function createSuspects(): Suspects {
  // Per upstream, because a turn lasts as long as the upstream is away, and so that few places in flight wait for the wire.
  const byUpstream = new Map<string, Turns>();
  const onWire = createTurns(TOGETHER);

  return {
    async turn(upstream, lossesOnWire, signal) {
      const turns = byUpstream.get(upstream) ?? createTurns(TOGETHER);
      byUpstream.set(upstream, turns);
      return await turns.take(roomOf(lossesOnWire), signal);
    },
    guarded: (send, lossesOnWire) => async (options) => {
      let place: Disposable | null = null;
      function leave(): void {
        place?.[Symbol.dispose]();
        place = null;
      }
      async function onState(state: Parameters<typeof options.onState>[0]): Promise<void> {
        leave();
        if (state.state === 'sent') place = await onWire.take(roomOf(lossesOnWire), options.stopSending);
        await options.onState(state);
      }
      try {
        return await send({ ...options, onState });
      } finally {
        leave();
      }
    },
  };
}

function roomOf(lossesOnWire: number): number {
  return 2 ** lossesOnWire;
}
