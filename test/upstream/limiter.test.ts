import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createFixedLimiter, type Limiter, type Permit } from '../../src/upstream/limiter.ts';

const never = new AbortController().signal;
const ignored = { kind: 'ignored' } as const;

/** Asks for a place and notes the name when it comes. */
function ask(limiter: Limiter, batchId: string, name: string, order: string[], permits: Permit[], rank?: number): void {
  void limiter.acquire(batchId, never, rank).then((permit) => {
    order.push(name);
    permits.push(permit);
  });
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('createFixedLimiter', () => {
  it('gives out as many places as there are and the rest as they come back', async () => {
    const limiter = createFixedLimiter({ maxInFlight: 2 });
    const first = await limiter.acquire('a', never);
    await limiter.acquire('a', never);
    const order: string[] = [];
    ask(limiter, 'a', 'third', order, []);
    await turn();
    assert.deepEqual([order, limiter.inFlight, limiter.waiting, limiter.limit], [[], 2, 1, 2]);
    first.release(ignored);
    await turn();
    assert.deepEqual([order, limiter.inFlight, limiter.waiting], [['third'], 2, 0]);
  });

  it('lets waiting batches take turns', async () => {
    const limiter = createFixedLimiter({ maxInFlight: 1 });
    const permits = [await limiter.acquire('big', never)];
    const order: string[] = [];
    for (const name of ['big 1', 'big 2', 'big 3']) ask(limiter, 'big', name, order, permits);
    ask(limiter, 'small', 'small 1', order, permits);
    ask(limiter, 'other', 'other 1', order, permits);
    for (let count = 0; count < 5; count += 1) {
      permits.pop()?.release(ignored);
      await turn();
    }
    assert.deepEqual(order, ['big 1', 'small 1', 'other 1', 'big 2', 'big 3']);
    permits.pop()?.release(ignored);
    assert.equal(limiter.inFlight, 0);
  });

  it('lets the lowest rank of a batch go first, and of one rank who came first', async () => {
    const limiter = createFixedLimiter({ maxInFlight: 1 });
    const permits = [await limiter.acquire('a', never)];
    const order: string[] = [];
    const asked = [
      ['a', 'a 2', 2],
      ['a', 'a 1', 1],
      ['b', 'b 9', 9],
      ['a', 'a 2 again', 2],
      ['a', 'a 1 again', 1],
    ] as const;
    for (const [batchId, name, rank] of asked) ask(limiter, batchId, name, order, permits, rank);
    for (let count = 0; count < asked.length; count += 1) {
      permits.pop()?.release(ignored);
      await turn();
    }
    assert.deepEqual(order, ['a 1', 'b 9', 'a 1 again', 'a 2', 'a 2 again']);
  });

  it('rejects who leaves the queue, and gives the place to the next', async () => {
    const limiter = createFixedLimiter({ maxInFlight: 1 });
    const permit = await limiter.acquire('a', never);
    const leaving = new AbortController();
    const left = assert.rejects(limiter.acquire('a', leaving.signal), /enough/);
    const order: string[] = [];
    ask(limiter, 'b', 'next', order, []);
    leaving.abort(new Error('enough'));
    await left;
    assert.equal(limiter.waiting, 1);
    permit.release(ignored);
    await turn();
    assert.deepEqual(order, ['next']);
    await assert.rejects(limiter.acquire('a', leaving.signal), /enough/);
  });

  it('has a place for a probe however many are taken', async () => {
    const limiter = createFixedLimiter({ maxInFlight: 1 });
    const permit = await limiter.acquire('a', never);
    const probe = limiter.probe();
    assert.equal(limiter.inFlight, 2);
    const order: string[] = [];
    ask(limiter, 'a', 'next', order, []);
    permit.release(ignored);
    await turn();
    assert.deepEqual(order, [], 'it counts as long as it is under way');
    probe.release(ignored);
    await turn();
    assert.deepEqual([order, limiter.inFlight], [['next'], 1]);
  });

  it('refuses a place given back twice', async () => {
    const limiter = createFixedLimiter({ maxInFlight: 1 });
    const permit = await limiter.acquire('a', never);
    permit.release(ignored);
    assert.throws(() => permit.release(ignored), /twice/);
  });
});
