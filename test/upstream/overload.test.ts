import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createModelServer, longTailed, type ModelServer } from '../../bench/limiter/servers.ts';
import { type Run, runWorld } from '../../bench/limiter/run-world.ts';
import { createConcurrencyControl } from '../../src/upstream/admission/concurrency-control.ts';
import type { Observation } from '../../src/upstream/admission/observation.ts';
import { createOverload } from '../../src/upstream/admission/overload.ts';

const timeout: Observation = { kind: 'timeout', ms: 1 };

/** Half an hour of a server with answers of 3 s; the share is of what 64 slots can do. */
function halfAnHour(given: (minute: () => number, random: () => number) => Partial<ModelServer>): Run {
  return runWorld(
    {
      name: 'test',
      about: '',
      minutes: 30,
      best: null,
      ideal: (64 * 30 * 60_000) / 3100,
      measure: 'answers',
      server: (clock, random) => {
        const lengths = longTailed(300, 0.5, random);
        const changed = given(() => clock.nowMs / 60_000, random);
        return createModelServer(clock, { capacity: () => 64, msPerToken: () => 10, lengths, ...changed });
      },
    },
    createConcurrencyControl,
    1,
  );
}

describe('createOverload', () => {
  for (const oneIn of [2, 3, 10])
    it(`keeps a server full that refuses one request in ${oneIn} whatever the load`, () => {
      const run = halfAnHour((_, random) => ({ refuses: () => random() < 1 / oneIn }));
      assert.ok(run.share > 0.85, `${run.share}`);
    });

  for (const [capacity, most] of [
    [2, 4],
    [5, 8],
    [20, 28],
  ] as const)
    it(`shrinks until a server that has room for ${capacity} refuses little, and no further`, () => {
      const run = halfAnHour(() => ({ capacity: () => capacity, maxQueued: 0 }));
      assert.ok(run.share > (0.85 * capacity) / 64, `${run.share}`);
      assert.ok(run.lastLimit <= most, `${run.lastLimit} for ${capacity}`);
    });

  it('asks for half of the limit when more than one in ten time out, and for nothing at a limit of 1', () => {
    const overload = createOverload({ monotonicMs: () => 0 });
    const asked = Array.from({ length: 3 }, () => overload.sent(9, 9)(timeout, 9));
    assert.deepEqual(asked, [null, null, 4]);
    for (let count = 0; count < 20; count += 1) assert.equal(overload.sent(1, 1)(timeout, 1), null);
  });

  it('learns nothing about a limit from what went out at a higher one', () => {
    const overload = createOverload({ monotonicMs: () => 0 });
    for (let count = 0; count < 50; count += 1) assert.equal(overload.sent(10, 10)(timeout, 5), null);
  });
});
