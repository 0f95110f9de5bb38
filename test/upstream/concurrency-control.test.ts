import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { runWorld } from '../../bench/limiter/run-world.ts';
import { worlds } from '../../bench/limiter/worlds.ts';
import { createConcurrencyControl } from '../../src/upstream/admission/concurrency-control.ts';
import type { Observation } from '../../src/upstream/admission/observation.ts';

const NAMES = ['share', 'failed', 'refused', 'waitP95', 'meanLimit', 'lastLimit'] as const;

/** What the limiter must reach in simulated worlds: [least, most] of what `runWorld` tells. */
const EXPECTED: Readonly<Record<string, Partial<Record<(typeof NAMES)[number], readonly [number, number]>>>> = {
  'slots, 32': { share: [0.95, 1], failed: [0, 0], meanLimit: [32, 64], waitP95: [0, 15] },
  'slots, 32, no usage': { share: [0.95, 1], meanLimit: [32, 64] },
  'slots, 4': { share: [0.95, 1], failed: [0, 0], meanLimit: [4, 12] },
  'one slot of 30 s': { share: [0.95, 1.01], failed: [0, 0], meanLimit: [1, 5] },
  'batching, a=15 b=0.1': { share: [0.75, 1] },
  'room for 256': { share: [0.9, 1] },
  'hosted API without headers': { share: [0.95, 1] },
  'refuses one in thirty': { share: [0.95, 1], meanLimit: [60, 130] },
  'refuses half': { share: [0.85, 1], failed: [0, 0] },
  'degrades, dies, comes back': { share: [0.9, 1] },
  'neighbour, 32 slots': { share: [0.9, 1.3], lastLimit: [16, 52] },
  'sharing, prefill 30 s': { share: [0.95, 1.05], failed: [0, 0], meanLimit: [1, 5] },
  'one slot of 4 s, timeout 10 s': { share: [0.95, 1], failed: [0, 0], meanLimit: [1, 2] },
  '4 slots of 90 s': { share: [0.9, 1], failed: [0, 0], meanLimit: [4, 12] },
  'growing lengths, 32 slots': { share: [0.9, 1] },
  'refuses beyond 24': { share: [0.9, 1], meanLimit: [14, 26] },
};

const answer = (ms: number): Observation => ({ kind: 'answer', ms });

function assertRun(name: string, expected: (typeof EXPECTED)[string], asks: boolean): void {
  const world = worlds.find((each) => each.name === name);
  assert.ok(world !== undefined, 'there is no such world');
  const run = runWorld(world, createConcurrencyControl, 1, { asks });
  for (const what of NAMES) {
    const [least, most] = expected?.[what] ?? [0, Infinity];
    assert.ok(run[what] >= least && run[what] <= most, `${what} is ${run[what]}, expected ${least} to ${most}`);
  }
}

/** Sends as many as the limit allows, so often, and has them all answered. */
function rounds(control: ReturnType<typeof createConcurrencyControl>, count: number, seen: (inFlight: number) => Observation): void {
  for (let round = 0; round < count; round += 1) {
    const learn = Array.from({ length: control.limit }, () => control.sent(control.limit));
    for (const each of learn) each(seen(learn.length));
  }
}

/** The same where the workers read the server's queue. */
const EXPECTED_WITH_QUEUE: typeof EXPECTED = {
  'slots, 32': { share: [0.95, 1], waitP95: [0, 4], meanLimit: [30, 40] },
  'slots, 4': { share: [0.95, 1], meanLimit: [4, 6] },
  'batching, a=15 b=0.1': { share: [0.95, 1] },
  'batching, a=12 b=0.045': { share: [0.95, 1] },
  '4 workers, 32 slots': { share: [0.95, 1], lastLimit: [28, 48], waitP95: [0, 4] },
  'neighbour, 32 slots': { share: [0.1, 1], waitP95: [0, 4] },
  'sharing, prefill 30 s': { share: [0.9, 1], failed: [0, 0] },
};

describe('createConcurrencyControl', () => {
  for (const [name, expected] of Object.entries(EXPECTED)) {
    it(`keeps to what is expected in the world "${name}"`, () => assertRun(name, expected, false));
  }

  for (const [name, expected] of Object.entries(EXPECTED_WITH_QUEUE))
    it(`keeps to what is expected in the world "${name}" when the server tells its queue`, () => assertRun(name, expected, true));

  it('goes by the times of answers again when the server has not told its queue for 20 s', () => {
    let nowMs = 0;
    const control = createConcurrencyControl({ maxInFlight: 256, monotonicMs: () => nowMs });
    const round = (inFlight: number) => ((nowMs += 100), answer(100 * Math.max(1, inFlight / 40)));
    for (let count = 0; count < 30; count += 1) {
      control.told({ running: control.limit, waiting: 0 });
      rounds(control, 1, round);
    }
    assert.equal(control.limit, 256, 'whatever answers take');
    nowMs += 30_000;
    rounds(control, 60, round);
    assert.ok(control.limit < 180, `${control.limit}`);
  });

  for (const slots of [4, 2, 9])
    it(`stays below the limit at which requests time out while the server says that nothing waits (${slots} slots on one thread)`, () => {
      const control = createConcurrencyControl({ maxInFlight: slots, requestTimeoutMs: 10_000, monotonicMs: () => 0 });
      let [sent, late] = [0, 0];
      for (let round = 0; round < 400; round += 1) {
        control.told({ running: control.limit, waiting: 0 });
        rounds(control, 1, (inFlight) => {
          sent += 1;
          // Most answers are quick, and one in six is long: with all slots at work it takes longer than it may.
          if (sent % 6 > 0) return answer(100 * inFlight);
          if (inFlight < slots) return answer(1_000);
          late += 1;
          return { kind: 'timeout', ms: 10_000 };
        });
      }
      assert.ok(late / sent < 0.03, `${late} of ${sent} timed out`);
      assert.equal(control.limit, slots - 1);
    });

  it('begins with 4, or with what is remembered', () => {
    assert.equal(createConcurrencyControl({ maxInFlight: 256 }).limit, 4);
    assert.equal(createConcurrencyControl({ maxInFlight: 256, firstInFlight: 40 }).limit, 40);
    assert.equal(createConcurrencyControl({ maxInFlight: 2 }).limit, 2);
  });

  it('may come to anything while it has met no queue, and then to half as much again', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    assert.equal(control.reach, 256);
    rounds(control, 40, (inFlight) => answer(100 * Math.max(1, inFlight / 8)));
    assert.equal(control.reach, Math.ceil(1.5 * control.limit));
    assert.ok(control.limit < 40, `${control.limit}`);
  });

  it('reaches the maximum within a dozen round trips where latency holds', () => {
    const control = createConcurrencyControl({ maxInFlight: 1024 });
    rounds(control, 15, () => answer(50));
    assert.equal(control.limit, 1024);
  });

  it('does not grow while one answer in five takes more than a third of the request timeout', () => {
    const control = createConcurrencyControl({ maxInFlight: 256, requestTimeoutMs: 30_000 });
    rounds(control, 40, () => answer(10_100));
    assert.equal(control.limit, 4);
    rounds(control, 40, () => answer(9_900));
    assert.ok(control.limit > 4);
  });

  it('halves the limit when more than one in ten time out, once for all that went out at it, down to 1', () => {
    const control = createConcurrencyControl({ maxInFlight: 64, firstInFlight: 64 });
    const timeOutAll = () => {
      const learn = Array.from({ length: 64 }, () => control.sent(64));
      for (const each of learn) each({ kind: 'timeout', ms: 1000 });
    };
    timeOutAll();
    assert.equal(control.limit, 32);
    rounds(control, 40, () => ({ kind: 'timeout', ms: 1000 }));
    assert.equal(control.limit, 1);
  });

  it('keeps the limit where one request in twenty times out', () => {
    const control = createConcurrencyControl({ maxInFlight: 64, firstInFlight: 64 });
    let count = 0;
    rounds(control, 60, () => (count++ % 20 === 0 ? { kind: 'timeout', ms: 30_000 } : answer(100)));
    assert.equal(control.limit, 64);
  });

  it('grows from 1 to 34 within ten minutes after timeouts, with answers of 6 s that tell no tokens', () => {
    const control = createConcurrencyControl({ maxInFlight: 256, firstInFlight: 64 });
    rounds(control, 40, () => ({ kind: 'timeout', ms: 1000 }));
    assert.equal(control.limit, 1);
    let count = 0;
    for (; control.limit < 34; count += 1) rounds(control, 1, () => answer(6000));
    assert.ok(count <= 100, `${count} round trips`);
  });

  it('tries no less than a quarter when answers grow a hundred times slower whatever the load, and comes back', () => {
    for (let at = 0; at < 30; at += 1) {
      const control = createConcurrencyControl({ maxInFlight: 256 });
      rounds(control, 200 + at * 7, () => answer(100));
      assert.ok(control.limit === 256 || control.limit === 32, `${control.limit}`);
      let least = 256;
      for (let round = 0; round < 60; round += 1) {
        rounds(control, 1, () => answer(10_000));
        // An eighth is where it measures.
        if (control.limit !== 32) least = Math.min(least, control.limit);
      }
      assert.ok(least >= 64, `${least} in flight`);
      assert.equal(control.limit, 256);
    }
  });

  it('begins again after an outage', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    rounds(control, 20, () => answer(100));
    assert.equal(control.limit, 256);
    control.sent(1)({ kind: 'unavailable' });
    assert.equal(control.limit, 256, 'until a probe has told that it is away');
    control.probed()({ kind: 'unavailable' });
    assert.equal(control.limit, 4);
    rounds(control, 15, () => answer(100));
    assert.equal(control.limit, 256);
  });

  it('is left alone by requests that fail by themselves, and by probes that are answered or refused', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    rounds(control, 20, () => answer(100));
    for (let count = 0; count < 500; count += 1) control.sent(1)({ kind: 'fault', answered: true });
    for (const kind of ['answer', 'overload', 'fault', 'ignored'] as const)
      control.probed()({ kind, ms: 5, retryAfterMs: null, answered: true });
    assert.equal(control.limit, 256);
  });

  it('does not grow on too little to do', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    for (let count = 0; count < 5000; count += 1) control.sent(3)(answer(10));
    assert.equal(control.limit, 4);
  });

  it('never leaves 1 to the maximum, whatever is seen in whatever order', () => {
    const seen: fc.Arbitrary<Observation> = fc.oneof(
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('answer' as const), ms: fc.double({ min: 0, max: 1e6, noNaN: true }) }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'overload' as const, retryAfterMs: null }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'timeout' as const, ms: 1e6 }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'fault' as const, answered: true }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'unavailable' as const }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'ignored' as const }) },
    );
    const property = fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.tuple(seen, fc.nat(1000)), { minLength: 200, maxLength: 2000 }),
      (maxInFlight, events) => {
        let nowMs = 0;
        const control = createConcurrencyControl({ maxInFlight, monotonicMs: () => nowMs });
        const open: ((seen: Observation) => void)[] = [];
        for (const [each, pick] of events) {
          while (open.length < control.limit) open.push(control.sent(open.length + 1));
          nowMs += 1;
          open.splice(pick % open.length, 1)[0]?.(each);
          assert.ok(Number.isInteger(control.limit) && control.limit >= 1 && control.limit <= maxInFlight, `${control.limit}`);
        }
      },
    );
    fc.assert(property, { numRuns: 60 });
  });
});
