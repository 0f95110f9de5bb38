import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSuspects, type Suspects } from '../../activities/suspects.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { createGate } from '../../src/upstream/gate.ts';
import { createIntake } from '../../src/upstream/intake.ts';
import { createFixedLimiter } from '../../src/upstream/limiter.ts';
import type { Upstream } from '../../src/upstream/routes.ts';

const never = new AbortController().signal;
type Send = ActivityDeps['sendUntilDone'];
/** Nobody is asked. */
const upstream: Upstream = {
  name: 'example',
  client: { send: async () => ({ kind: 'aborted' }), close: async () => undefined },
  limiter: createFixedLimiter({ maxInFlight: 8 }),
  intake: createIntake({ limit: () => 8, maxSlices: 8 }),
  requestsPerMinute: null,
  gate: createGate(),
  rules: { maxFaults: 5, maxRefusals: 20, maxRetryAfterMs: 1_000, refusalBackoffMs: 1_000, unavailableMaxMs: null },
  redact: (body) => body,
  rewrite: (body) => body,
};

/** Sends through the guard a request that says it is on the wire, and then what `states` say, until they are over. */
function send(suspects: Suspects, lossesOnWire: number, states: (say: Parameters<Send>[0]['onState']) => Promise<void>) {
  const upstreamsOwn: Send = async ({ onState }) => {
    await onState({ state: 'sent' });
    await states(onState);
    return { kind: 'aborted' };
  };
  return suspects.guarded(
    upstreamsOwn,
    lossesOnWire,
  )({
    upstream,
    batchId: 'batch',
    requestKey: 'request',
    request: { endpoint: '/v1/chat/completions', body: Buffer.alloc(0), idempotencyKey: 'request' },
    signal: never,
    stopSending: never,
    faults: 0,
    onState: () => undefined,
    isPaced: false,
  });
}

describe('createSuspects', () => {
  it('keeps no suspects of an upstream waiting for those of another that is away', async () => {
    const suspects = createSuspects();
    await suspects.turn('away', 4, never);
    (await suspects.turn('present', 4, never))[Symbol.dispose]();
  });

  it('never has a suspect that must go alone on the wire beside another, whatever their upstreams', async () => {
    const suspects = createSuspects();
    let onWire = 0;
    const one = async () => {
      onWire += 1;
      assert.equal(onWire, 1);
      await new Promise(setImmediate);
      onWire -= 1;
    };
    await Promise.all(Array.from({ length: 5 }, async () => await send(suspects, 3, one)));
  });

  it('leaves the wire to others while its upstream is away', async () => {
    const suspects = createSuspects();
    const { promise: back, resolve: comeBack } = Promise.withResolvers<void>();
    const waiting = send(suspects, 4, async (say) => {
      await say({ state: 'unavailable', sinceMs: 0, reason: 'away' });
      await back;
    });
    await send(suspects, 4, async () => undefined);
    comeBack();
    await waiting;
  });
});
