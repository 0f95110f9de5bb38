import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { JoinedObject } from '../../src/domain/join-parts.ts';
import { type JoinedContent, type JoinLimits, openJoinedContent, S3_LIMITS } from '../../src/storage/joined-content.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';
import { collect, newNonce, startTestBucket } from './test-bucket.ts';

const LIMITS: JoinLimits = { minBytes: 50, maxCopyBytes: 500, maxParts: 100, maxEqualBytes: 100 };
const KEY = 'content/t/file-1';
const pool = createPartPool(8);
const WORK = { signal: new AbortController().signal, onPart: () => undefined, expectedBytes: 0 };

/** Objects of these sizes; a size of zero leaves its shard without one. */
function putObjects(store: MemoryStore, sizes: readonly number[]): JoinedObject[] {
  return sizes.flatMap((bytes, shard) => {
    const key = `work/shard-${shard}`;
    store.objects.set(key, randomBytes(bytes));
    return bytes === 0 ? [] : [{ shard, key, bytes }];
  });
}

const sum = (objects: readonly JoinedObject[]) => objects.reduce((total, { bytes }) => total + bytes, 0);
const open = async (store: ObjectStore, limits = LIMITS): Promise<JoinedContent> =>
  await openJoinedContent({ store, newNonce, parts: pool, limits, key: KEY, stateKey: 'work/joined', onComplete: () => undefined });

function assertWhole(store: MemoryStore, objects: readonly JoinedObject[]): void {
  const expected = Buffer.concat(objects.map(({ key }) => store.objects.get(key) ?? assert.fail()));
  assert.ok(store.objects.get(KEY)?.equals(expected), 'the content is the objects, one after the other');
  assert.equal(store.uploads.size, 0);
}

describe('openJoinedContent', () => {
  it('joins objects of any size, in any steps, whoever dies between them, and sends no part twice', async () => {
    const size = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 49 }), fc.integer({ min: 50, max: 1_300 }));
    const steps = fc.array(fc.record({ shards: fc.nat({ max: 12 }), diesAfter: fc.option(fc.nat({ max: 4 })) }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 30 }), steps, fc.boolean(), async (sizes, actions, equalParts) => {
        // None of one size, or any.
        const limits = { ...LIMITS, maxEqualBytes: equalParts ? Infinity : 0 };
        const store = createMemoryStore({ ...limits, equalParts });
        const objects = putObjects(store, sizes);
        let end = 0;
        for (const { shards, diesAfter } of actions) {
          end += shards;
          const content = await open(store, limits);
          let left = diesAfter ?? Infinity;
          store.beforePart = () => {
            if (left-- <= 0) throw new Error('killed');
          };
          const some = objects.filter(({ shard }) => shard >= content.firstShard && shard < end);
          await content.append(some, WORK).catch((error: unknown) => assert.match(String(error), /killed/));
        }
        store.beforePart = () => undefined;
        if (sum(objects) === 0) return;
        await (await open(store, limits)).complete(objects, sum(objects), WORK);
        assertWhole(store, objects);
        assert.equal(new Set(store.sent.parts).size, store.sent.parts.length);
      }),
      { numRuns: 300 },
    );
  });

  it('tells how many bytes are in no part yet', async () => {
    const store = createMemoryStore(LIMITS);
    const objects = putObjects(store, [30, 30, 30, 200, 20]);
    const content = await open(store);
    // Three parts of 80 bytes.
    assert.equal(await content.append(objects, WORK), 70);
    assert.equal(content.firstShard, 3);
    assert.equal((await open(store)).firstShard, 3, 'it is remembered');
  });

  it('ends although its objects are more than an upload has parts, and although their sum is larger than so many smallest parts', async () => {
    for (const [sizes, streamed] of [
      [Array.from({ length: 150 }, () => 60), 9_000],
      [Array.from({ length: 1_000 }, () => 49), 49_000],
      [Array.from({ length: 100 }, () => 1_000), 0],
      [[20_000, 1, 30_000, 1, 2], 103],
    ] as const) {
      const store = createMemoryStore(LIMITS);
      const objects = putObjects(store, sizes);
      // Begun before its size was known.
      await (await open(store)).append(objects.slice(0, 40), WORK);
      store.sent.bytes = 0;
      await (await open(store, { ...LIMITS, maxCopyBytes: 5_000 })).complete(objects, sum(objects), WORK);
      assertWhole(store, objects);
      assert.ok(store.sent.bytes <= streamed, `${store.sent.bytes} bytes came through the process`);
    }
  });

  it('goes on when one is killed between two parts, and sends only what is missing', async () => {
    const store = createMemoryStore({ ...LIMITS, maxParts: 1_000 });
    const objects = putObjects(
      store,
      Array.from({ length: 80 }, () => 40),
    );
    store.beforePart = (part) => (part === 25 ? Promise.reject(new Error('killed')) : undefined);
    await (await open(store)).append(objects.slice(0, 9), WORK);
    await assert.rejects((await open(store)).complete(objects, sum(objects), WORK), /killed/);
    const before = store.sent.parts.length;
    assert.ok(before >= 24);
    store.beforePart = () => undefined;
    store.sent.bytes = 0;
    await (await open(store)).complete(objects, sum(objects), WORK);
    assertWhole(store, objects);
    assert.equal(store.sent.bytes, (40 - before) * 80);
  });

  it('comes to the same content when two work on it at once, and when one comes late', async () => {
    const store = createMemoryStore(LIMITS);
    const objects = putObjects(store, [30, 30, 300, 30, 45, 45, 45, 700, 10]);
    const late = await open(store);
    await Promise.all(
      [1, 2, 3].map(async (each) => {
        const content = await open(store);
        if (each > 1) await content.append(objects.slice(0, 5), WORK);
        await content.complete(objects, sum(objects), WORK);
      }),
    );
    assertWhole(store, objects);
    await late.complete(objects, sum(objects), WORK);
    await (await open(store)).append(objects, WORK);
    await (await open(store)).complete(objects, sum(objects), WORK);
    assertWhole(store, objects);
  });

  it('begins anew when its upload is gone', async () => {
    const store = createMemoryStore(LIMITS);
    const objects = putObjects(store, [60, 60, 60, 30]);
    await (await open(store)).append(objects.slice(0, 2), WORK);
    store.uploads.clear();
    assert.equal(await (await open(store)).append(objects.slice(0, 3), WORK), 0, 'only the last act begins anew');
    await (await open(store)).complete(objects, sum(objects), WORK);
    assertWhole(store, objects);
  });

  it('writes what fits one part in one PUT', async () => {
    const store = createMemoryStore(LIMITS);
    const objects = putObjects(store, [3, 0, 40, 200]);
    await (await open(store)).complete(objects, sum(objects), WORK);
    assertWhole(store, objects);
    assert.deepEqual(store.sent.parts, []);
  });

  it('fails where an object is missing or has another length, and ends with the signal', async () => {
    for (const bytes of [39, 41]) {
      const store = createMemoryStore(LIMITS);
      const objects = [...putObjects(store, [60]), { shard: 1, key: 'work/shard-1', bytes }];
      await (await open(store)).append(objects.slice(0, 1), WORK);
      await assert.rejects((await open(store)).complete(objects, 60 + bytes, WORK), /shard-1 failed: .* it is not there/);
      store.objects.set('work/shard-1', randomBytes(40));
      await assert.rejects((await open(store)).complete(objects, 60 + bytes, WORK), /it has 40 bytes and not/);
      assert.equal(store.objects.get(KEY), undefined);
    }
    const store = createMemoryStore(LIMITS);
    const objects = putObjects(store, [60, 60]);
    const aborted = { ...WORK, signal: AbortSignal.abort(new Error('cancelled')) };
    await assert.rejects((await open(store)).append(objects, aborted), /cancelled/);
    assert.deepEqual(store.sent.parts, []);
  });

  it('keeps its marker young', async () => {
    const store = createMemoryStore(LIMITS);
    const objects = putObjects(store, [60, 60, 60]);
    await (await open(store)).append(objects.slice(0, 1), WORK);
    const [marker = ''] = [...store.objects.keys()].filter((key) => key.startsWith('uploads/'));
    const written = store.objects.get(marker);
    store.objects.delete(marker);
    await (await open(store)).append(objects.slice(0, 2), WORK);
    assert.deepEqual(store.objects.get(marker), written);
  });

  it('joins in a real bucket, by copies and by parts that it puts together', async () => {
    await using bucket = await startTestBucket();
    const mebibytes = [1, 7, 2, 2, 5, 0.5, 12];
    const objects: JoinedObject[] = [];
    for (const [shard, size] of mebibytes.entries()) {
      const body = randomBytes(size * 1024 * 1024);
      const object = { shard, key: `work/shard-${shard}`, bytes: body.length };
      await bucket.store.put(object.key, body);
      objects.push(object);
    }
    const openReal = async () =>
      await openJoinedContent({
        store: bucket.store,
        newNonce,
        parts: pool,
        limits: S3_LIMITS,
        key: KEY,
        stateKey: 'work/joined',
        onComplete: () => undefined,
      });
    await (await openReal()).append(objects.slice(0, 3), WORK);
    await (await openReal()).append(objects.slice(0, 5), WORK);
    const expected = Buffer.concat(await Promise.all(objects.map(async ({ key }) => (await bucket.store.get(key))?.body ?? assert.fail())));
    await (await openReal()).complete(objects, expected.length, WORK);
    assert.ok((await bucket.store.get(KEY))?.body.equals(expected));
    // Another that comes late finds it complete.
    await (await openReal()).complete(objects, expected.length, WORK);
    assert.deepEqual(await bucket.store.listMultipart(KEY), []);
    assert.equal((await collect(bucket.store.list('uploads/'))).length, 1, 'the marker stands until the record does');
  });
});
