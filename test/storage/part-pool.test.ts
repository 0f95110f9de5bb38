import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createPartPool, type Part } from '../../src/storage/part-pool.ts';

describe('createPartPool, with one buffer that trickles full', () => {
  it('leaves it to its holder while nobody waits, and takes it after ten stall times when somebody does', async () => {
    const pool = createPartPool(1, 20);
    const never = new AbortController().signal;
    const held: { part: Part | null } = { part: null };
    let isLost = false;
    held.part = await pool.take(never, () => {
      isLost = true;
      held.part?.giveBack();
    });
    const trickle = async (ms: number) => {
      for (const end = performance.now() + ms; performance.now() < end && !isLost; await delay(2)) held.part?.touch();
    };
    await trickle(300);
    assert.equal(isLost, false);

    const started = performance.now();
    const next = pool.take(never, () => assert.fail('the second holder stalls as well'));
    await Promise.all([trickle(20_000), next]);
    assert.equal(isLost, true);
    assert.ok(performance.now() - started < 15_000);
    (await next).giveBack();
    assert.equal(pool.taken, 0);
  });
});
