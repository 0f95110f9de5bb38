import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { prepareStore } from '../../src/processes/open-store.ts';
import { ObjectStoreError } from '../../src/storage/object-store.ts';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { findStoreFault } from '../../src/storage/store-fault.ts';
import { type Carelessness, startCarelessStore } from './careless-store.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
before(async () => {
  bucket = await startTestBucket();
});
after(async () => await bucket[Symbol.asyncDispose]());

describe('findStoreFault', () => {
  it('finds none in MinIO, with a key prefix and without, and leaves no object behind', async () => {
    assert.equal(await findStoreFault(bucket.store, newNonce()), null);
    assert.equal(await findStoreFault(withKeyPrefix(bucket.store, 'team-a/'), newNonce()), null);
    assert.deepEqual(await collect(bucket.store.list('')), []);
  });

  it('needs less than seventy calls', async () => {
    await using proxy = await startFaultProxy(bucket.minio.endpoint);
    await findStoreFault(bucket.connect({ endpoint: proxy.endpoint }), newNonce());
    assert.ok(proxy.seen.length < 70, proxy.seen.join('\n'));
  });

  it('finds none when the answers to its writes get lost', async () => {
    await using proxy = await startFaultProxy(bucket.minio.endpoint);
    const seen = new Map<string, number>();
    proxy.fault = (method, path) => {
      if (method !== 'PUT') return null;
      seen.set(path, (seen.get(path) ?? 0) + 1);
      return seen.get(path) === 1 ? 'answer-lost' : null;
    };
    assert.equal(await findStoreFault(bucket.connect({ endpoint: proxy.endpoint }), newNonce()), null);
  });

  const faults: Record<Carelessness, RegExp> = {
    'no-if-none-match': /^ignores If-None-Match: /,
    'no-if-match': /^ignores If-Match: /,
    'checks-before': /^does not keep to If-Match: two writes/,
    'checks-before-sometimes': /^does not keep to If-Match: two writes/,
    'creates-before': /^does not keep to If-None-Match: two writes/,
    'always-412': /^refuses If-Match: /,
    refuses: /^does not implement a call that Nightshift needs \(create\)$/,
    'dictionary-order': /^lists keys in the order 9,10,B,a, but byte order is 10,9,B,a$/,
    backwards: /^lists keys in the order /,
    'no-pages': /^lists keys in the order /,
    'no-start-after': /^ignores start-after: /,
    'stale-reads': /^does not show an object right after/,
  };
  for (const [careless, fault] of Object.entries(faults)) {
    it(`refuses a store: ${careless}`, async () => {
      await using store = await startCarelessStore(bucket.minio, careless as Carelessness);
      assert.match((await findStoreFault(bucket.connect(store), newNonce())) ?? 'no fault', fault);
      assert.deepEqual(await collect(bucket.store.list('')), []);
    });
  }

  it('throws while the store is away, because nothing is known of it then', async () => {
    await using proxy = await startFaultProxy(bucket.minio.endpoint);
    proxy.fault = () => '503';
    await assert.rejects(findStoreFault(bucket.connect({ endpoint: proxy.endpoint }), newNonce()), ObjectStoreError);
  });

  it('is asked anew under other keys after a try that was cut off, whose late calls cannot disturb it', async () => {
    const { store } = bucket;
    const late: (readonly string[])[] = [];
    let tries = 0;
    const cutOff = {
      ...store,
      async *list(...given: Parameters<typeof store.list>) {
        if (tries === 1) throw new ObjectStoreError('list', 'probe', new Error('cut off'));
        yield* store.list(...given);
      },
      async remove(removed: readonly string[]) {
        if (tries === 1) late.push(removed);
        else await store.remove(removed);
      },
      async replace(...given: Parameters<typeof store.replace>) {
        for (const removed of tries === 2 ? late.splice(0) : []) await store.remove(removed);
        return await store.replace(...given);
      },
      ensureBucket: async () => void (tries += 1),
    };
    const at = {
      kind: 's3',
      endpoint: 'http://127.0.0.1:1',
      bucket: 'nightshift',
      region: 'us-east-1',
      prefix: '',
      credentials: 'settings',
    } as const;
    const logger = pino({ level: 'silent' });
    await prepareStore({ at, store: cutOff, newNonce }, { logger, signal: new AbortController().signal });
    assert.deepEqual([tries, late], [2, []]);
  });
});
