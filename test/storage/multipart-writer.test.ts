import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { createMultipartWriter } from '../../src/storage/multipart-writer.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool, PART_BYTES } from '../../src/storage/part-pool.ts';
import { until } from '../helpers/until.ts';
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

  it('appends what lies in the bucket without reading it, where a part may stand, and keeps the order', async () => {
    const [least, large] = [bytesOf(5 * 1024 * 1024), bytesOf(PART_BYTES + 3)];
    const sources = [least, large, least.subarray(1)].map((body) => ({ body, key: `source/${newNonce()}` }));
    for (const { key, body } of sources) await bucket.store.put(key, body);
    const { writer, key, parts } = newWriter();
    const whole: Buffer[] = [];
    const write = async (body: Buffer) => {
      await writer.write(body);
      whole.push(body);
    };
    const append = async (index: 0 | 1 | 2) => {
      const { body, key: source } = sources[index] ?? assert.fail();
      const isTaken = await writer.append(source, body.length);
      if (isTaken) whole.push(body);
      return isTaken;
    };
    assert.equal(await append(2), false, 'too small');
    assert.equal(await append(0), true);
    assert.equal(await append(1), true);
    await write(MEGABYTE);
    assert.equal(await append(0), false, 'a megabyte before it');
    for (let i = 0; i < 4; i += 1) await write(MEGABYTE);
    assert.equal(await append(0), true, 'five megabytes before it');
    await write(Buffer.from('end'));
    await writer.complete();
    const body = Buffer.concat(whole);
    assert.equal(writer.bytes, body.length);
    assert.ok((await store.get(key))?.body.equals(body));
    assert.ok(!proxy.seen.some((request) => request.startsWith('GET /nightshift/source/')));
    assert.equal(parts.taken, 0);

    const small = newWriter();
    await small.writer.write(Buffer.from('x'));
    assert.equal(await small.writer.append(sources[0]?.key ?? '', least.length), false, 'a byte before it');
    await small.writer.abort();
    await nothingLeft();
  });

  it('leaves nothing when what is appended is not there', async () => {
    const { writer, key } = newWriter();
    assert.equal(await writer.append(`source/${newNonce()}`, PART_BYTES), true);
    await assert.rejects(writer.complete(), /copyPart .* failed/);
    await writer.abort();
    assert.equal(await store.stat(key), null);
    await nothingLeft();
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

function newWriter({ parts = createPartPool(16), keepMarker = false } = {}) {
  const nonce = newNonce();
  const key = `written/${nonce}`;
  return { writer: createMultipartWriter({ store, key, nonce, parts, keepMarker }), key, nonce, parts };
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
