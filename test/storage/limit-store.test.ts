import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createLimitStore } from '../../src/storage/limit-store.ts';
import { createConcurrencyControl } from '../../src/upstream/admission/concurrency-control.ts';
import {
  createLimitShare,
  exchangeLimit,
  type LimitShare,
  type SharedLimit,
  type SharedLimitPort,
} from '../../src/upstream/admission/shared-limit.ts';
import { newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
before(async () => void (bucket = await startTestBucket()));
after(() => bucket[Symbol.asyncDispose]());

const urlOfOne = () => `http://gpu-${newNonce()}:8000/v1`;

describe('LimitStore', () => {
  it('writes only over what was read, and creates once', async () => {
    const store = createLimitStore<{ limit: number }>({ store: bucket.store, upstream: 'gpu', baseUrl: urlOfOne() });
    assert.equal(await store.read(), null);
    assert.deepEqual(await Promise.all([store.write({ limit: 1 }, null), store.write({ limit: 1 }, 'stale')]), [true, false]);
    const found = await store.read();
    assert.deepEqual(found?.value, { limit: 1 });
    assert.equal(await store.write({ limit: 2 }, found?.tag ?? ''), true);
    assert.equal(await store.write({ limit: 3 }, found?.tag ?? ''), false);
    assert.deepEqual((await store.read())?.value, { limit: 2 });
  });

  it('is the same for a server under other credentials and with a slash, and another for another path or upstream', async () => {
    const host = `gpu-${newNonce()}`;
    const at = (baseUrl: string, upstream = 'gpu') => createLimitStore<{ limit: number }>({ store: bucket.store, upstream, baseUrl });
    await at(`http://user:one@${host}/v1`).write({ limit: 7 }, null);
    assert.deepEqual((await at(`http://user:two@${host}/v1/`).read())?.value, { limit: 7 });
    assert.equal(await at(`http://${host}/v2`).read(), null);
    assert.equal(await at(`http://user:one@${host}/v1`, 'narrow').read(), null);
  });
});

describe('the shared limit in a bucket', () => {
  /** Two workers, each with its own client of the bucket. */
  function startWorkers(baseUrl: string) {
    const clock = { nowMs: 0 };
    return {
      clock,
      workers: ['a', 'b'].map((id): { share: LimitShare; port: SharedLimitPort } => ({
        port: createLimitStore<SharedLimit>({ store: bucket.connect(), upstream: 'gpu', baseUrl }),
        share: createLimitShare({
          id,
          createControl: ({ from, ...given }) =>
            createConcurrencyControl({ maxInFlight: 256, ...given, ...(from === null ? {} : { firstInFlight: from }) }),
          demand: () => 100,
          monotonicMs: () => clock.nowMs,
        }),
      })),
    };
  }

  it('gives two workers that write at the same time one holder, and parts that add up', async () => {
    const baseUrl = urlOfOne();
    const { clock, workers } = startWorkers(baseUrl);
    for (let exchange = 0; exchange < 6; exchange += 1) {
      clock.nowMs += 3000;
      // At once: of the two that found the same only one writes.
      await Promise.all(workers.map(async ({ port, share }) => await exchangeLimit(port, share)));
    }
    // Twice, so that the first one knows of what the second one wrote.
    for (const { port, share } of [...workers, ...workers]) await exchangeLimit(port, share);
    const found = (await createLimitStore<SharedLimit>({ store: bucket.store, upstream: 'gpu', baseUrl }).read())?.value;
    assert.deepEqual(Object.keys(found?.workers ?? {}).sort(), ['a', 'b']);
    assert.equal(found?.limit, 4);
    assert.deepEqual(
      workers.map(({ share }) => share.control.limit),
      [2, 2],
    );
  });

  it('is taken over by the other worker within 15 s when the holder is gone, and remembered by the next process', async () => {
    const baseUrl = urlOfOne();
    const { clock, workers } = startWorkers(baseUrl);
    const [first, second] = workers;
    assert.ok(first !== undefined && second !== undefined);
    const pass = async (...alive: typeof workers) => {
      clock.nowMs += 3000;
      for (const { port, share } of alive) await exchangeLimit(port, share);
    };
    await pass(first);
    for (let round = 0; round < 20; round += 1) {
      const learn = Array.from({ length: first.share.control.limit }, () => first.share.control.sent(first.share.control.limit));
      for (const each of learn) each({ kind: 'answer', ms: 100 });
    }
    await pass(first, second);
    await pass(first, second);
    for (let exchange = 0; exchange < 5; exchange += 1) await pass(second);
    assert.equal(second.share.control.limit, 256);
    const [later] = startWorkers(baseUrl).workers;
    assert.ok(later !== undefined);
    const found = await second.port.read();
    await second.port.write(second.share.without(found?.value ?? null) ?? assert.fail(), found?.tag ?? null);
    await exchangeLimit(later.port, later.share);
    assert.equal(later.share.control.limit, 128);
  });
});
