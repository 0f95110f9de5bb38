import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import type { Limiter, Observation, Permit } from '../../src/upstream/limiter.ts';
import { createUpstreamLimiter } from '../../src/upstream/upstream-limiter.ts';

const never = new AbortController().signal;
const answer: Observation = { kind: 'answer', ms: 100 };
const refusal = (retryAfterMs: number | null): Observation => ({ kind: 'overload', retryAfterMs });

function newLimiter(limiter: 'fixed' | 'adaptive'): Limiter {
  return createUpstreamLimiter({ limiter, maxInFlight: 64, maxWaitMs: 60_000, monotonicMs: () => Date.now() });
}

/** So many places, as soon as they are there. */
function take(limiter: Limiter, count: number): Permit[] {
  const permits: Permit[] = [];
  for (let asked = 0; asked < count; asked += 1) void limiter.acquire('b', never).then((permit) => permits.push(permit));
  return permits;
}

async function tick(ms: number): Promise<void> {
  mock.timers.tick(ms);
  for (let turns = 0; turns < 5; turns += 1) await Promise.resolve();
}

for (const kind of ['fixed', 'adaptive'] as const) {
  describe(`createUpstreamLimiter, ${kind}`, () => {
    beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 }));
    afterEach(() => mock.timers.reset());

    it('holds nobody else back for the Retry-After of one request in ten', async () => {
      const limiter = newLimiter(kind);
      for (let round = 0; round < 50; round += 1) {
        const permits = take(limiter, limiter.limit);
        await tick(0);
        assert.equal(permits.length, limiter.limit, `in round ${round}`);
        await tick(20);
        // Refusals come first, all together.
        const refused = permits.filter((_, place) => (place + round) % 10 === 0);
        for (const permit of refused) permit.release(refusal(30_000));
        await tick(80);
        for (const permit of permits) if (!refused.includes(permit)) permit.release(answer);
      }
    });

    it('holds everybody back until Retry-After when most are refused, and lets one out first then', async () => {
      const limiter = newLimiter(kind);
      // More than an adaptive limiter has places at first.
      const permits = Array.from({ length: 16 }, () => limiter.probe());
      await tick(20);
      for (const permit of permits) permit.release(refusal(30_000));
      const later = take(limiter, 64);
      await tick(29_999);
      assert.equal(later.length, 0);
      await tick(1);
      assert.equal(later.length, 1);
      await tick(40);
      assert.equal(later.length, 3, 'nobody has refused the first');
    });

    it('holds nobody back for longer than is allowed', async () => {
      const limiter = newLimiter(kind);
      // More than an adaptive limiter has places at first.
      const permits = Array.from({ length: 16 }, () => limiter.probe());
      await tick(20);
      for (const permit of permits) permit.release(refusal(3_600_000));
      const later = take(limiter, 1);
      await tick(60_000);
      assert.equal(later.length, 1);
    });

    it('counts probes as well', async () => {
      const limiter = newLimiter(kind);
      for (let probes = 0; probes < 6; probes += 1) {
        const probe = limiter.probe();
        await tick(20);
        probe.release(refusal(null));
      }
      assert.equal(limiter.refusing.inARow, 6);
      const probe = limiter.probe();
      await tick(100);
      probe.release(answer);
      assert.equal(limiter.refusing.inARow, 0);
    });
  });
}
