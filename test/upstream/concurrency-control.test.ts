import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { numbers } from '../../examples/upstream/behaviour.ts';
import { type ConcurrencyControl, createConcurrencyControl } from '../../src/upstream/concurrency-control.ts';
import type { Observation } from '../../src/upstream/limiter.ts';

interface Server {
  capacity: () => number;
  /** Milliseconds a request takes once it is its turn, and its output tokens. */
  request: () => { ms: number; tokens: number | null };
  down?: () => boolean;
  /** Whether it refuses a request, the `inFlight`th, at once. */
  refuses?: (inFlight: number) => boolean;
  /** Is told the time. */
  clock?: { nowMs: number };
}

/** Keeps a server that queues as full as the control allows. Each call goes on for so many answers, and answers the limits after each and the time. */
function createDriver(control: ConcurrencyControl, server: Server): (answers: number) => { limits: number[]; ms: number } {
  const running: { endsMs: number; end: () => void }[] = [];
  const queue: (() => void)[] = [];
  let [nowMs, inFlight] = [0, 0];
  const serve = () => {
    while (running.length < server.capacity() && queue.length > 0) queue.shift()?.();
  };
  const send = () => {
    inFlight += 1;
    const learn = control.sent(inFlight);
    const sentMs = nowMs;
    if (server.refuses?.(inFlight) === true) {
      const end = () => {
        inFlight -= 1;
        learn({ kind: 'overload', retryAfterMs: null });
      };
      running.push({ endsMs: nowMs + 1, end });
      return;
    }
    queue.push(() => {
      const { ms, tokens } = server.request();
      const end = () => {
        inFlight -= 1;
        const seen: Observation =
          server.down?.() === true ? { kind: 'unavailable' } : { kind: 'answer', ms: nowMs - sentMs, outputTokens: tokens };
        learn(seen);
      };
      running.push({ endsMs: nowMs + ms, end });
    });
  };
  return (answers) => {
    const limits: number[] = [];
    while (limits.length < answers) {
      while (inFlight < control.limit) send();
      serve();
      const next = running.reduce((first, each) => (each.endsMs < first.endsMs ? each : first));
      running.splice(running.indexOf(next), 1);
      nowMs = next.endsMs;
      if (server.clock !== undefined) server.clock.nowMs = nowMs;
      next.end();
      limits.push(control.limit);
    }
    return { limits, ms: nowMs };
  };
}

function longTailed(seed: number, given: { usage: boolean }): () => { ms: number; tokens: number | null } {
  const random = numbers(seed);
  return () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const tokens = Math.max(1, Math.round(300 * Math.exp(normal - 0.5)));
    return { ms: 200 + 20 * tokens, tokens: given.usage ? tokens : null };
  };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('createConcurrencyControl', () => {
  it('may come to anything while no level is met, and then to what it tries next', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    const go = createDriver(control, { capacity: () => 32, request: () => ({ ms: 100, tokens: null }) });
    assert.deepEqual([control.limit, control.reach], [16, 256]);
    go(2000);
    assert.ok(control.limit < 64 && control.reach === Math.ceil(1.5 * control.limit), `${control.limit}, ${control.reach}`);
    const free = createConcurrencyControl({ maxInFlight: 256 });
    createDriver(free, { capacity: () => 1000, request: () => ({ ms: 100, tokens: null }) })(3000);
    assert.deepEqual([free.limit, free.reach], [256, 256]);
  });

  it('begins modestly and reaches the maximum within eight round trips where latency holds', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    assert.equal(control.limit, 16);
    const server = { capacity: () => Infinity, request: () => ({ ms: 50, tokens: null }) };
    const drive = createDriver(control, server);
    const { limits } = drive(2000);
    const until = limits.indexOf(256);
    assert.ok(until > 0, 'it never gets there');
    const { ms } = createDriver(createConcurrencyControl({ maxInFlight: 256 }), server)(until);
    assert.ok(ms <= 400, `${ms} ms`);
  });

  it('is at the maximum within a dozen mean answers in nine cases of ten where these are long-tailed and there is room for all', () => {
    const meanMs = 6_200;
    const climbs = Array.from({ length: 20 }, (_, seed) => {
      const control = createConcurrencyControl({ maxInFlight: 256 });
      const clock = { nowMs: 0 };
      const drive = createDriver(control, { capacity: () => Infinity, request: longTailed(seed + 1, { usage: false }), clock });
      while (control.limit < 256) drive(1);
      return clock.nowMs / meanMs;
    });
    const slow = climbs.filter((answers) => answers > 12);
    assert.ok(slow.length <= 2, `${slow.map((answers) => answers.toFixed(1)).join(', ')} of ${climbs.length}`);
  });

  it('rarely leaps past a server that queues, and is back within a few hundred answers', () => {
    const runs = Array.from({ length: 20 }, (_, seed) => {
      const control = createConcurrencyControl({ maxInFlight: 256 });
      return createDriver(control, { capacity: () => 32, request: longTailed(seed + 1, { usage: false }) })(1500).limits;
    });
    const past = runs.filter((limits) => Math.max(...limits.slice(0, 500)) > 128);
    assert.ok(past.length <= 2, `${past.length} of 20 leapt past 128`);
    const later = mean(runs.map((limits) => mean(limits.slice(500))));
    assert.ok(later < 64, `${later} for a capacity of 32`);
  });

  for (const usage of [true, false]) {
    for (const seed of [1, 2, 3]) {
      it(`finds the capacity of a queueing server with long-tailed answers (${usage ? 'with' : 'without'} usage, seed ${seed})`, () => {
        const control = createConcurrencyControl({ maxInFlight: 256 });
        const server = { capacity: () => 32, request: longTailed(seed, { usage }) };
        const drive = createDriver(control, server);
        drive(3000);
        const { limits } = drive(10_000);
        const limit = mean(limits);
        assert.ok(limit > 28 && limit < 48, `${limit} for a capacity of 32`);
      });
    }
  }

  it('keeps a server full that has room for just as many as it begins with', () => {
    const ms = (control: ConcurrencyControl, seed: number) =>
      createDriver(control, { capacity: () => 16, request: longTailed(seed, { usage: false }) })(700).ms;
    let [found, ideal] = [0, 0];
    for (const seed of Array.from({ length: 12 }, (_, at) => at + 1)) {
      found += ms(createConcurrencyControl({ maxInFlight: 256 }), seed);
      ideal += ms(createConcurrencyControl({ maxInFlight: 16 }), seed);
    }
    assert.ok(ideal / found > 0.93, `${ideal / found} of what it could do`);
  });

  it('finds a capacity below where it begins', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    const server = { capacity: () => 2, request: longTailed(4, { usage: true }) };
    const drive = createDriver(control, server);
    drive(2000);
    assert.ok(mean(drive(2000).limits) < 6);
  });

  it('stays at the maximum where more in flight gets more done, though each answer slower', () => {
    let running = 0;
    const control = createConcurrencyControl({ maxInFlight: 128 });
    const random = longTailed(5, { usage: true });
    const server = {
      capacity: () => 128,
      request: () => {
        running = control.limit;
        const { tokens } = random();
        return { ms: (tokens ?? 1) * (15 + running * 0.1), tokens };
      },
    };
    const drive = createDriver(control, server);
    drive(2000);
    assert.ok(mean(drive(5000).limits) > 110);
  });

  it('follows a server that loses capacity and gets it back', () => {
    let capacity = 64;
    const control = createConcurrencyControl({ maxInFlight: 256 });
    const server = { capacity: () => capacity, request: longTailed(6, { usage: true }) };
    const drive = createDriver(control, server);
    drive(5000);
    capacity = 12;
    drive(3000);
    const low = mean(drive(2000).limits);
    assert.ok(low < 32, `${low} for a capacity of 12`);
    capacity = 64;
    drive(6000);
    const high = mean(drive(3000).limits);
    assert.ok(high > 48, `${high} for a capacity of 64`);
  });

  it('tries no less than a quarter when answers grow a hundred times slower whatever the load, and comes back', () => {
    // At whatever point of its cohorts and checks the upstream grows slow.
    for (let at = 0; at < 30; at++) {
      let ms = 100;
      const control = createConcurrencyControl({ maxInFlight: 256 });
      const drive = createDriver(control, { capacity: () => Infinity, request: () => ({ ms, tokens: null }) });
      drive(8000 + at * 137);
      assert.equal(control.limit, 256);
      ms = 10_000;
      const { limits } = drive(1050);
      assert.ok(Math.min(...limits) >= 64, `${Math.min(...limits)} in flight`);
      assert.equal(control.limit, 256, `after ${8000 + at * 137} answers`);
    }
  });

  it('begins again after an outage, and comes back', () => {
    let down = false;
    const control = createConcurrencyControl({ maxInFlight: 256 });
    const server = { capacity: () => 64, request: longTailed(7, { usage: true }), down: () => down };
    const drive = createDriver(control, server);
    drive(3000);
    down = true;
    drive(3);
    assert.ok(control.limit > 40, 'until a probe has told that it is away');
    control.probed()({ kind: 'unavailable' });
    assert.equal(control.limit, 16);
    down = false;
    drive(4000);
    assert.ok(mean(drive(2000).limits) > 52);
  });

  it('stays where it is when a connection fails now and then, and when probes are answered or refused', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    const random = numbers(9);
    const server = { capacity: () => Infinity, request: () => ({ ms: 50 + 50 * random(), tokens: null }), down: () => random() < 1 / 50 };
    const drive = createDriver(control, server);
    drive(5000);
    assert.ok(mean(drive(5000).limits) > 230);
    const { limit } = control;
    for (const kind of ['answer', 'overload', 'fault', 'ignored'] as const)
      control.probed()({ kind, ms: 5, retryAfterMs: null, answered: true });
    assert.equal(control.limit, limit);
  });

  it('shrinks when no more connections are accepted', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    let inFlight = 0;
    const down = () => inFlight > 40;
    const drive = createDriver(control, { capacity: () => Infinity, request: () => ({ ms: 100, tokens: null }), down });
    for (let count = 0; count < 5000; count += 1) {
      inFlight = control.limit;
      drive(1);
    }
    assert.ok(control.limit < 64, `${control.limit} in flight`);
  });

  it('shrinks once for all refusals of requests that went out at the same limit', () => {
    const control = createConcurrencyControl({ maxInFlight: 100, firstInFlight: 100 });
    const refuseAll = () => {
      const learn = Array.from({ length: 100 }, (_, index) => control.sent(index + 1));
      for (const each of learn) each({ kind: 'overload', retryAfterMs: null });
    };
    refuseAll();
    assert.equal(control.limit, 80);
    refuseAll();
    assert.equal(control.limit, 64);
  });

  for (const oneIn of [200, 50, 20]) {
    it(`keeps an upstream full that refuses one request in ${oneIn}, whatever the load`, () => {
      const control = createConcurrencyControl({ maxInFlight: 24 });
      const random = numbers(oneIn);
      const refuses = () => random() < 1 / oneIn;
      const request = () => ({ ms: 100 + 100 * random(), tokens: null });
      const drive = createDriver(control, { capacity: () => Infinity, request, refuses });
      drive(2000);
      assert.ok(mean(drive(4000).limits) > 20);
    });
  }

  for (const [answerMs, seed] of [
    [100, 1],
    [6000, 2],
  ] as const) {
    it(`keeps an upstream full that refuses one request in ten at once and answers the others after ${answerMs} ms`, () => {
      const clock = { nowMs: 0 };
      const control = createConcurrencyControl({ maxInFlight: 128, monotonicMs: () => clock.nowMs });
      const random = numbers(seed);
      const refuses = () => random() < 0.1;
      const request = () => ({ ms: answerMs * (0.5 + random()), tokens: null });
      const drive = createDriver(control, { capacity: () => Infinity, request, refuses, clock });
      drive(2000);
      const limit = mean(drive(6000).limits);
      assert.ok(limit > 80, `${limit}`);
    });
  }

  it('shrinks until an upstream that has room for few refuses little', () => {
    const control = createConcurrencyControl({ maxInFlight: 64 });
    const server = { capacity: () => Infinity, request: () => ({ ms: 100, tokens: null }), refuses: (inFlight: number) => inFlight > 4 };
    const drive = createDriver(control, server);
    drive(2000);
    assert.ok(mean(drive(2000).limits) < 8);
  });

  it('grows again within a few hundred answers after a storm of refusals has shrunk it to 1', () => {
    let isStorm = true;
    const control = createConcurrencyControl({ maxInFlight: 24 });
    const random = longTailed(8, { usage: true });
    const drive = createDriver(control, { capacity: () => 24, request: random, refuses: () => isStorm });
    drive(2000);
    assert.equal(control.limit, 1);
    isStorm = false;
    drive(1500);
    assert.ok(mean(drive(500).limits) > 12, `${control.limit}`);
  });

  it('shrinks when many requests fail, never below where it began', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    createDriver(control, { capacity: () => Infinity, request: () => ({ ms: 50, tokens: null }) })(2000);
    assert.equal(control.limit, 256);
    for (let count = 0; count < 3; count += 1) control.sent(1)({ kind: 'fault', answered: true });
    assert.equal(control.limit, 256);
    for (let count = 0; count < 500; count += 1) control.sent(1)({ kind: 'fault', answered: true });
    assert.equal(control.limit, 16);
  });

  it('does not grow on too little to do', () => {
    const control = createConcurrencyControl({ maxInFlight: 256 });
    for (let count = 0; count < 5000; count += 1) control.sent(3)({ kind: 'answer', ms: 10 });
    assert.equal(control.limit, 16);
  });

  it('never leaves 1 to the maximum, whatever is seen in whatever order', () => {
    const seen: fc.Arbitrary<Observation> = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          kind: fc.constant('answer' as const),
          ms: fc.double({ min: 0, max: 1e6, noNaN: true }),
          outputTokens: fc.nat(1000),
        }),
      },
      { weight: 1, arbitrary: fc.constant({ kind: 'overload' as const, retryAfterMs: null }) },
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
    // In the second, a refusal both ends a cohort and takes the limit down from its level.
    for (const given of [{ numRuns: 60 }, { seed: -1954901989, path: '157' }]) fc.assert(property, given);
  });
});
