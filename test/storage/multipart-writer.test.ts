import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { arePartsEven, createMultipartWriter } from '../../src/storage/multipart-writer.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool, PART_BYTES } from '../../src/storage/part-pool.ts';
import { until } from '../helpers/until.ts';
import { demandEvenParts } from './even-parts-store.ts';
import { first, startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { collect, newNonce, startTestBucket, type TestBucket, WHOLE } from './test-bucket.ts';

let bucket: TestBucket;
let proxy: FaultProxy;
let store: ObjectStore;

before(async () => {
  bucket = await startTestBucket({ own: true });
  proxy = await startFaultProxy(bucket.minio.endpoint);
  store = bucket.connect({ endpoint: proxy.endpoint, timeoutMs: 5000 });
});
afterEach(() => {
  proxy.fault = () => null;
  proxy.seen.length = 0;
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await bucket[Symbol.asyncDispose]();
});

const MEGABYTE = Buffer.alloc(1024 * 1024, 'm');

describe('createMultipartWriter: writing', () => {
  it('sends what fits one part in a single PUT and leaves nothing else', async () => {
    for (const size of [0, 1, 65_536, 65_537, PART_BYTES]) {
      const { writer, key, parts } = newWriter();
      const body = bytesOf(size);
      for (let at = 0; at < size; at += 100_000) await writer.write(body.subarray(at, at + 100_000));
      assert.equal(writer.bytes, size);
      assert.equal(await store.stat(key), null);
      await writer.complete();
      assert.ok((await store.get(key))?.body.equals(body));
      assert.deepEqual(
        proxy.seen.filter((request) => request.startsWith('P')),
        [`PUT /nightshift/${key}`],
      );
      assert.equal(parts.taken, 0);
      proxy.seen.length = 0;
    }
    await nothingLeft();
  });

  it('sends more in parts and keeps the order, whatever the chunks', async () => {
    for (const [size, chunk] of [
      [PART_BYTES + 1, 999_983],
      [3 * PART_BYTES, 20_000_000],
      [2 * PART_BYTES + 77, 5],
    ] as const) {
      const { writer, key, parts } = newWriter();
      const body = bytesOf(size);
      // Chunks of a few bytes are slow to make; the start of the body shows as much.
      const head = chunk < 100 ? 100_000 : size;
      for (let at = 0; at < head; at += chunk) await writer.write(body.subarray(at, Math.min(at + chunk, head)));
      await writer.write(body.subarray(head));
      await writer.complete();
      assert.ok((await store.get(key))?.body.equals(body));
      assert.equal(parts.taken, 0);
    }
    await nothingLeft();
  });

  it('appends what lies in the bucket, in parts of one size, and reads only what shares a part with other bytes', async () => {
    const MIB = 1024 * 1024;
    const cases: [what: string, steps: ({ append: number } | { write: number })[], readBytes: number][] = [
      ['sizes that differ', [{ append: 5 * MIB }, { append: 20 * MIB }, { append: 9 * MIB + 1 }], 5 + 1 + 9 + 3],
      ['multiples of a part', [{ append: 16 * MIB }, { append: 8 * MIB }, { append: 3 }], 0],
      ['below the least part', [{ append: 1 }, { append: 4 * MIB }, { append: 4 * MIB }, { append: 100_000 }], 8],
      ['bytes before a copy', [{ write: 3 * MIB }, { append: 30 * MIB }, { write: 7 }], 5 + 1],
      ['a whole part before a copy', [{ write: 8 * MIB }, { append: 8 * MIB }, { write: 8 * MIB }, { append: 8 * MIB + 1 }], 0],
      ['little in all', [{ append: 1 }, { append: 65_536 }, { write: 1 }], 0],
    ];
    for (const [what, steps, readMib] of cases) {
      const even = demandEvenParts(store);
      const { writer, key, parts } = newWriter({ into: even });
      const whole: Buffer[] = [];
      let readBytes = 0;
      even.open = async (source, range) => {
        readBytes += range === undefined ? Infinity : range.end + 1 - range.start;
        return await store.open(source, range);
      };
      for (const step of steps) {
        const body = bytesOf('append' in step ? step.append : step.write);
        whole.push(body);
        if ('write' in step) await writer.write(body);
        else {
          const source = `source/${newNonce()}`;
          await bucket.store.put(source, body);
          await writer.append(source, body.length);
        }
      }
      await writer.complete();
      const body = Buffer.concat(whole);
      assert.equal(writer.bytes, body.length, what);
      assert.ok((await store.get(key))?.body.equals(body), what);
      assert.equal(Math.round(readBytes / MIB), readMib, `${what}: MiB that are read`);
      assert.equal(parts.taken, 0);
    }
    await nothingLeft();
  });

  it('takes whole objects for parts where they are even, and reads none', async () => {
    const even = demandEvenParts(store);
    const { writer, key } = newWriter({ into: even });
    const bodies = [bytesOf(6_000_000), bytesOf(6_000_000), bytesOf(17)];
    for (const body of bodies) {
      const source = `source/${newNonce()}`;
      await bucket.store.put(source, body);
      await writer.append(source, body.length, { asPart: true });
    }
    await writer.complete();
    assert.deepEqual(even.uploads, [[6_000_000, 6_000_000, 17]]);
    assert.ok((await store.get(key))?.body.equals(Buffer.concat(bodies)));
    assert.ok(!proxy.seen.some((request) => request.startsWith('GET /nightshift/source/')));
    await nothingLeft();
  });

  it('knows which objects are even', () => {
    const least = 5 * 1024 * 1024;
    for (const lengths of [[least], [least, least, 1], [least + 7, least + 7, least + 7]]) assert.ok(arePartsEven(lengths), lengths.join());
    const uneven = [[], [least - 1], [least, least + 1], [least + 1, least, 1], [least, 1, least], [1, least]];
    for (const lengths of uneven) assert.ok(!arePartsEven(lengths), lengths.join());
  });

  it('leaves nothing when what is appended is not there', async () => {
    const { writer, key } = newWriter();
    await writer.append(`source/${newNonce()}`, PART_BYTES);
    await assert.rejects(writer.complete(), /copyPart .* failed/);
    await writer.abort();
    assert.equal(await store.stat(key), null);
    const small = newWriter();
    await assert.rejects(small.writer.append(`source/${newNonce()}`, 5), /no such object/);
    await small.writer.abort();
    await nothingLeft();
  });

  it('writes its marker anew while a multipart upload runs, and not after it', async () => {
    const { writer, nonce } = newWriter({ everyMs: 20 });
    const ages = async () => (await collect(bucket.store.list(`uploads/${nonce}`))).map(({ lastModified }) => lastModified.getTime());
    for (let i = 0; i < 17; i += 1) await writer.write(MEGABYTE);
    await until(async () => (await ages()).length === 1, { what: 'the marker' });
    const [first = 0] = await ages();
    await until(async () => ((await ages())[0] ?? 0) > first, { what: 'a younger marker' });
    proxy.fault = (method, path) => (method === 'PUT' && path.includes('/uploads/') ? '503' : null);
    await writer.complete();
    proxy.fault = () => null;
    await nothingLeft();
    const { length } = proxy.seen;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(proxy.seen.slice(length), []);
  });

  it('has a marker with key and upload id while a multipart upload runs', async () => {
    const { writer, key, nonce } = newWriter();
    for (let i = 0; i < 17; i += 1) await writer.write(MEGABYTE);
    await until(() => proxy.seen.some((request) => request.includes('partNumber=2')), { what: 'the second part' });
    const marker = JSON.parse((await store.get(`uploads/${nonce}`))?.body.toString() ?? '');
    assert.deepEqual(marker, { key, uploadId: (await store.listMultipart(key))[0]?.uploadId });
    assert.deepEqual(proxy.seen.filter((request) => request.startsWith('P')).slice(0, 2), [
      `PUT /nightshift/uploads/${nonce}`,
      `POST /nightshift/${key}?uploads`,
    ]);
    await writer.complete();
    await nothingLeft();
  });

  it('keeps the marker for whoever completes the file, if told so', async () => {
    const { writer, nonce } = newWriter({ keepMarker: true });
    await writer.write(Buffer.from('x'));
    await writer.complete();
    await writer.abort();
    assert.notEqual(await store.stat(`uploads/${nonce}`), null);
    await store.remove([`uploads/${nonce}`]);
  });
});

describe('createMultipartWriter: aborting', () => {
  it('leaves no upload on the disk, no object and no marker, at any time and more than once', async () => {
    for (const megabytes of [0, 1, 8, 9, 30]) {
      const { writer, key, parts } = newWriter();
      for (let i = 0; i < megabytes; i += 1) await writer.write(MEGABYTE);
      await Promise.all([writer.abort(), writer.abort()]);
      await writer.abort();
      assert.equal(await store.stat(key), null);
      assert.equal(parts.taken, 0);
      await assert.rejects(writer.write(MEGABYTE), /aborted/);
      await assert.rejects(writer.complete(), /aborted/);
    }
    await nothingLeft();
  });

  it('ends a write that waits for a stalled bucket', async () => {
    const { writer, parts } = newWriter();
    proxy.fault = (method, path) => (method === 'PUT' && path.includes('partNumber') ? 'silence' : null);
    const writing = (async () => {
      for (;;) await writer.write(MEGABYTE);
    })();
    const failed = assert.rejects(writing);
    await until(() => parts.taken === 3, { what: 'three buffers' });
    await writer.abort();
    await failed;
    assert.equal(parts.taken, 0);
    await nothingLeft();
  });

  it('does nothing to an object that is complete', async () => {
    const { writer, key } = newWriter();
    await writer.write(MEGABYTE);
    await Promise.all([writer.complete(), writer.abort()]);
    await writer.abort();
    assert.equal((await store.stat(key))?.size, MEGABYTE.length);
    await assert.rejects(writer.write(MEGABYTE), /completed/);
  });
});

describe('createMultipartWriter: faults', () => {
  it('gets over a bucket that is busy for a moment', async () => {
    const { writer, key } = newWriter();
    proxy.fault = first(3, '503');
    for (let i = 0; i < 20; i += 1) await writer.write(MEGABYTE);
    await writer.complete();
    assert.equal((await store.stat(key))?.size, 20 * MEGABYTE.length);
    await nothingLeft();
  });

  it('throws the error of a part in a later write and ends the upload', async () => {
    const { writer, key, parts } = newWriter();
    proxy.fault = (_, path) => (path.includes('partNumber=1') ? '503' : null);
    await assert.rejects(async () => {
      for (let i = 0; i < 200; i += 1) await writer.write(MEGABYTE);
    }, /uploadPart .* failed/);
    await writer.abort();
    assert.equal(await store.stat(key), null);
    assert.equal(parts.taken, 0);
    await nothingLeft();
  });

  it('throws the error of the last part in complete', async () => {
    const { writer, parts } = newWriter();
    proxy.fault = (_, path) => (path.includes('partNumber=2') ? '503' : null);
    for (let i = 0; i < 9; i += 1) await writer.write(MEGABYTE);
    await assert.rejects(writer.complete(), /uploadPart .* failed/);
    await writer.abort();
    assert.equal(parts.taken, 0);
    await nothingLeft();
  });

  it('leaves the marker when the bucket is away for good', async () => {
    const { writer, nonce, parts } = newWriter();
    for (let i = 0; i < 17; i += 1) await writer.write(MEGABYTE);
    await until(() => proxy.seen.some((request) => request.includes('partNumber=2')), { what: 'the second part' });
    proxy.fault = () => '503';
    await assert.rejects(writer.complete());
    assert.equal(parts.taken, 0);
    assert.notEqual(await bucket.store.stat(`uploads/${nonce}`), null);
    proxy.fault = () => null;
    await sweepAway(nonce);
    await nothingLeft();
  });
});

describe('createPartPool', () => {
  it('bounds what 200 MB hold, with three parts on their way', async () => {
    const { writer, key, parts } = newWriter();
    let most = 0;
    for (let i = 0; i < 200; i += 1) {
      await writer.write(MEGABYTE);
      most = Math.max(most, parts.taken);
    }
    await writer.complete();
    assert.ok(most >= 2 && most <= 4, `${most} buffers`);
    assert.equal((await store.stat(key))?.size, 200 * MEGABYTE.length);
  });

  it('lets ten uploads through two buffers', async () => {
    const parts = createPartPool(2);
    const finished = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const { writer } = newWriter({ parts });
        for (let i = 0; i < 10; i += 1) {
          await writer.write(MEGABYTE);
          assert.ok(parts.taken <= 2);
        }
        await writer.complete();
        return writer.bytes;
      }),
    );
    assert.deepEqual(finished, Array(10).fill(10 * MEGABYTE.length));
    assert.equal(parts.taken, 0);
  });

  it('gives no buffer to a client that has sent little, nor needs one for a small file', async () => {
    const parts = createPartPool(1);
    const idle = newWriter({ parts });
    await idle.writer.write(Buffer.from('a little'));
    const busy = newWriter({ parts });
    await busy.writer.write(MEGABYTE);
    assert.equal(parts.taken, 1);
    await idle.writer.complete();
    await busy.writer.complete();
  });

  it('takes the buffer of a client that stalls, but only when another upload waits', async () => {
    const parts = createPartPool(1, 100);
    const stalled = newWriter({ parts });
    await stalled.writer.write(MEGABYTE);
    const other = newWriter({ parts });
    await other.writer.write(MEGABYTE);
    await other.writer.complete();
    await assert.rejects(stalled.writer.write(MEGABYTE), /nothing came for too long/);
    await stalled.writer.abort();
    assert.equal(parts.taken, 0);

    const alone = newWriter({ parts });
    await alone.writer.write(MEGABYTE);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await alone.writer.write(MEGABYTE);
    await alone.writer.complete();
  });

  it('forgets a writer that is aborted while it waits', async () => {
    const parts = createPartPool(1);
    const [holder, waiter] = [newWriter({ parts }), newWriter({ parts })];
    await holder.writer.write(MEGABYTE);
    const waiting = assert.rejects(waiter.writer.write(MEGABYTE), /aborted/);
    await waiter.writer.abort();
    await waiting;
    await holder.writer.complete();
    assert.equal(parts.taken, 0);
  });
});

function newWriter({ parts = createPartPool(16), keepMarker = false, into = store, everyMs = 900_000 } = {}) {
  const nonce = newNonce();
  const key = `written/${nonce}`;
  return { writer: createMultipartWriter({ store: into, key, nonce, parts, keepMarker, everyMs }), key, nonce, parts };
}

function bytesOf(size: number): Buffer {
  const body = Buffer.alloc(size);
  for (let i = 0; i + 4 <= size; i += 4096) body.writeUInt32LE(i, i);
  return body;
}

/** No marker in the bucket, no multipart upload on MinIO's disk. */
async function nothingLeft(): Promise<void> {
  assert.deepEqual(await collect(bucket.store.list('uploads/')), []);
  assert.deepEqual(await uploadsOnDisk(), []);
}

async function uploadsOnDisk(): Promise<string[]> {
  const entries = await readdir(join(bucket.minio.directory, '.minio.sys', 'multipart'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function sweepAway(nonce: string): Promise<void> {
  const { createHousekeeping } = await import('../../src/storage/housekeeping.ts');
  await createHousekeeping({ store: bucket.store }).removeStaleUploads(Date.now() + 1000, 0, new Set(), WHOLE);
  assert.equal(await bucket.store.stat(`uploads/${nonce}`), null);
}
