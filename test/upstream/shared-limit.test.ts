import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runWorld } from '../../bench/limiter/run-world.ts';
import { worlds } from '../../bench/limiter/worlds.ts';
import { type ConcurrencyControl, createConcurrencyControl } from '../../src/upstream/admission/concurrency-control.ts';
import { createLimitShare, exchangeLimit, type LimitShare, partsOf, type SharedLimit } from '../../src/upstream/admission/shared-limit.ts';

/** Workers with one clock and one object in the bucket. */
function createWorkers() {
  const stored: { value: SharedLimit | null } = { value: null };
  const clock = { nowMs: 0 };
  function start(id: string, demand: { count: number } = { count: 500 }): LimitShare {
    return createLimitShare({
      id,
      createControl: ({ from, ...given }) =>
        createConcurrencyControl({
          maxInFlight: 256,
          monotonicMs: () => clock.nowMs,
          ...given,
          ...(from === null ? {} : { firstInFlight: from }),
        }),
      demand: () => demand.count,
      monotonicMs: () => clock.nowMs,
    });
  }
  /** So many seconds, with an exchange of each every three. */
  function pass(seconds: number, ...alive: LimitShare[]): void {
    for (let count = 0; count < seconds; count += 3) {
      clock.nowMs += 3000;
      for (const share of alive) {
        stored.value = share.next(stored.value);
        share.adopt(stored.value);
      }
    }
  }
  return { stored, clock, start, pass };
}

/** Has so many rounds of full places answered. */
function answer(control: ConcurrencyControl, rounds: number): void {
  for (let round = 0; round < rounds; round += 1) {
    const learn = Array.from({ length: control.limit }, () => control.sent(control.limit));
    for (const each of learn) each({ kind: 'answer', ms: 100 });
  }
}

describe('partsOf', () => {
  for (const [limit, demands, expected] of [
    [10, [100, 100], [5, 5]],
    [11, [100, 100, 100], [4, 4, 3]],
    [32, [2, 100], [2, 30]],
    [32, [0, 100], [1, 31]],
    [32, [4, 8], [14, 18]],
    [1, [100, 100, 100], [1, 1, 1]],
    [64, [0], [64]],
  ] as const)
    it(`divides ${limit} among demands of ${demands.join(', ')}`, () => {
      const workers = Object.fromEntries(demands.map((demand, at) => [String(at), { beats: 1, demand }]));
      const parts = partsOf({ limit, holder: '0', workers });
      assert.deepEqual(
        [...parts]
          .sort()
          .map(([, part]) => part)
          .sort(),
        [...expected].sort(),
      );
    });
});

describe('createLimitShare', () => {
  for (const name of ['2 workers, 32 slots', '4 workers, 32 slots'])
    it(`stays below 64 places after 20 minutes in the world "${name}"`, () => {
      for (const seed of [1, 2, 3]) {
        const world = worlds.find((each) => each.name === name);
        assert.ok(world !== undefined);
        const { curve, share, failed } = runWorld(world, createConcurrencyControl, seed);
        const later = curve.filter(({ minute }) => minute > 20).map(({ limit }) => limit);
        const mean = later.reduce((sum, limit) => sum + limit, 0) / later.length;
        assert.ok(mean < 64 && Math.max(...later) < 100, `${mean} in the mean, ${Math.max(...later)} at most`);
        assert.ok(share > 0.85 && failed === 0, `${share}`);
      }
    });

  it('works for itself until the first exchange, and while it is alone', () => {
    const { start, pass, stored } = createWorkers();
    const share = start('a');
    assert.equal(share.control.limit, 4);
    pass(3, share);
    answer(share.control, 15);
    assert.equal(share.control.limit, 256);
    pass(3, share);
    assert.equal(stored.value?.limit, 256);
  });

  it('begins with half of what was remembered', () => {
    const { start, pass } = createWorkers();
    const before = start('a');
    pass(3, before);
    answer(before.control, 15);
    pass(6, before);
    const after = start('b');
    pass(15, after);
    assert.equal(after.control.limit, 128);
  });

  it('shares the limit with a worker that joins, and gets all of it back when that one is gone', () => {
    const { start, pass } = createWorkers();
    const [one, other] = [start('a'), start('b')];
    pass(3, one);
    answer(one.control, 15);
    pass(6, one, other);
    assert.deepEqual([one.control.limit, other.control.limit], [128, 128]);
    pass(18, one);
    assert.equal(one.control.limit, 256);
  });

  it('passes the lease on within 15 s when the holder dies, with the limit as it was', () => {
    const { start, pass, stored } = createWorkers();
    const [one, other] = [start('a'), start('b')];
    pass(3, one);
    answer(one.control, 15);
    pass(6, one, other);
    assert.equal(stored.value?.holder, 'a');
    pass(15, other);
    assert.deepEqual([stored.value?.holder, stored.value?.limit, other.control.limit], ['b', 256, 256]);
  });

  it('passes the lease on when the holder has nothing to do', () => {
    const { start, pass, stored } = createWorkers();
    const demand = { count: 10 };
    const [one, other] = [start('a', demand), start('b')];
    pass(6, one, other);
    assert.equal(stored.value?.holder, 'a');
    demand.count = 0;
    pass(3, one, other);
    assert.equal(stored.value?.holder, 'b');
    pass(3, one, other);
    assert.equal(stored.value?.holder, 'b');
  });

  it('learns from the holder only, and not until all workers know of a change', () => {
    const { start, pass, clock, stored } = createWorkers();
    const [one, other] = [start('a'), start('b')];
    pass(6, one, other);
    clock.nowMs += 10_000;
    answer(other.control, 100);
    pass(3, one, other);
    assert.equal(stored.value?.limit, 4);
    answer(one.control, 100);
    assert.equal(one.control.limit, 2, 'until the next exchange');
    pass(3, one, other);
    assert.equal(stored.value?.limit, 8);
    answer(one.control, 100);
    pass(3, one, other);
    assert.equal(stored.value?.limit, 8, 'the other one has just heard of it');
    clock.nowMs += 1000;
    answer(one.control, 100);
    pass(3, one, other);
    assert.equal(stored.value?.limit, 16);
  });

  it('keeps its part while the bucket is away, and when another worker wrote first', async () => {
    const { start, pass, stored } = createWorkers();
    const [one, other] = [start('a'), start('b')];
    pass(6, one, other);
    const away = async () => await Promise.reject(new Error('away'));
    await assert.rejects(exchangeLimit({ read: away, write: away }, other), /away/);
    const value = stored.value;
    assert.ok(value !== null);
    await exchangeLimit({ read: async () => ({ value: { ...value, limit: 100 }, tag: 't' }), write: async () => false }, other);
    assert.equal(other.control.limit, 2);
  });

  it('leaves at once when it ends', () => {
    const { start, pass, stored } = createWorkers();
    const [one, other] = [start('a'), start('b')];
    pass(6, one, other);
    stored.value = one.without(stored.value);
    assert.equal(one.without(stored.value), null);
    pass(3, other);
    assert.deepEqual([stored.value?.holder, Object.keys(stored.value?.workers ?? {})], ['b', ['b']]);
  });
});
