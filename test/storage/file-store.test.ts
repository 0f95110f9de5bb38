import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { File } from '../../src/domain/file.ts';
import { newFileId } from '../../src/domain/ids.ts';
import { createFileStore, type FileStore } from '../../src/storage/file-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { type Fault, first, startFaultProxy } from './fault-proxy.ts';
import { until } from '../helpers/until.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
let store: ObjectStore;
let files: FileStore;
/** A second process: the same bucket, nothing remembered. */
let elsewhere: FileStore;
let nowMs = Date.UTC(2026, 0, 1);

before(async () => {
  bucket = await startTestBucket();
  store = bucket.store;
  const newFileStore = () => createFileStore({ store, nowMs: () => nowMs, newNonce: () => newNonce(), parts: createPartPool(4) });
  files = newFileStore();
  elsewhere = newFileStore();
});
after(() => bucket[Symbol.asyncDispose]());

describe('FileStore: one file', () => {
  it('shows a file once its record is written, and leaves no marker', async () => {
    const tenant = newNonce();
    const file = newFile();
    const writer = await files.beginContent(tenant, file.id);
    await writer.write(Buffer.from('{"a":1}\n'));
    await writer.complete();
    assert.equal(await files.get(tenant, file.id), null);
    assert.equal((await collect(store.list('uploads/'))).length, 1);
    assert.equal(await files.createRecord(tenant, file), 'created');
    assert.deepEqual(await elsewhere.get(tenant, file.id), file);
    assert.deepEqual(await elsewhere.list(tenant, query()), { data: [file], hasMore: false });
    assert.deepEqual(await collect(store.list('uploads/')), []);
    assert.equal(await contentOf(tenant, file.id), '{"a":1}\n');
  });

  it('reads a range of the bytes and says the whole size', async () => {
    const tenant = newNonce();
    const file = await upload(tenant, newFile(), '0123456789');
    const found = await files.openContent(tenant, file.id, { start: 3, end: 5 });
    assert.equal(found?.size, 10);
    assert.equal(Buffer.concat(await collect<Buffer>(found.body)).toString(), '345');
  });

  it('keeps the first of two records', async () => {
    const tenant = newNonce();
    const file = await upload(tenant, newFile());
    assert.equal(await elsewhere.createRecord(tenant, { ...file, filename: 'other' }), 'exists');
    assert.equal((await files.get(tenant, file.id))?.filename, file.filename);
  });

  it('is created although the answer to its record is lost, and is not over one that another wrote', async () => {
    await using proxy = await startFaultProxy(bucket.minio.endpoint);
    const behind = bucket.connect({ endpoint: proxy.endpoint });
    const there = createFileStore({ store: behind, nowMs: () => nowMs, newNonce: () => newNonce(), parts: createPartPool(4) });
    const tenant = newNonce();
    for (const fault of ['answer-lost', 'answer-500'] satisfies Fault[]) {
      const file = newFile();
      proxy.fault = first(1, fault, (method, path) => method === 'PUT' && path.includes('/files/'));
      assert.equal(await there.createRecord(tenant, file), 'created', fault);
      assert.deepEqual(await elsewhere.get(tenant, file.id), file);
      proxy.fault = first(1, fault, (method, path) => method === 'PUT' && path.includes('/files/'));
      assert.equal(await there.createRecord(tenant, { ...file, filename: 'other' }), 'exists', fault);
    }
  });

  it('is unknown to another tenant', async () => {
    const [tenant, other] = ['acme', 'acme.b'];
    const file = await upload(tenant, newFile());
    assert.equal(await files.get(other, file.id), null);
    assert.equal(await files.openContent(other, file.id), null);
    assert.equal(await files.delete(other, file.id), false);
    assert.deepEqual(await files.list(other, query()), { data: [], hasMore: false });
    assert.equal(await files.list(other, query({ after: file.id })), 'unknown_cursor');
    assert.deepEqual(await files.get(tenant, file.id), file);
  });

  it('is gone from the second of its expiry, in lists as well', async () => {
    const tenant = newNonce();
    const seconds = Math.floor(nowMs / 1000);
    const [kept, expiring] = [await upload(tenant, newFile()), await upload(tenant, newFile({ expires_at: seconds + 3600 }))];
    nowMs += 3_599_999;
    assert.deepEqual((await listed(tenant)).sort(), [kept.id, expiring.id].sort());
    nowMs += 1;
    assert.deepEqual(await listed(tenant), [kept.id]);
    assert.equal(await files.get(tenant, expiring.id), null);
    assert.equal(await files.delete(tenant, expiring.id), false);
    assert.deepEqual(await files.list(tenant, query({ after: expiring.id, limit: 1 })), { data: [kept], hasMore: false });
  });
});

describe('FileStore: delete', () => {
  it('removes record and bytes, for every process, and says false the second time', async () => {
    const tenant = newNonce();
    const file = await upload(tenant, newFile());
    await elsewhere.list(tenant, query());
    assert.equal(await files.delete(tenant, file.id), true);
    assert.equal(await files.delete(tenant, file.id), false);
    assert.equal(await elsewhere.get(tenant, file.id), null);
    assert.deepEqual(await elsewhere.list(tenant, query()), { data: [], hasMore: false });
    await assertBytesGone(tenant, file.id);
  });

  it('is done once the record is gone, although the bytes are being read', async () => {
    const tenant = newNonce();
    const file = await upload(tenant, newFile(), 'x'.repeat(30_000_000));
    const reading = await files.openContent(tenant, file.id);
    assert.ok(reading !== null);
    const startedMs = performance.now();
    assert.equal(await files.delete(tenant, file.id), true);
    assert.ok(performance.now() - startedMs < 2000, 'the deletion waited for the reader');
    assert.equal(await files.get(tenant, file.id), null);
    reading.body.destroy();
    await assertBytesGone(tenant, file.id);
  });

  it('leaves the bytes while an open batch names the file', async () => {
    const tenant = newNonce();
    const file = await upload(tenant, newFile(), 'input');
    await store.put(`open/${tenant}/batch_1`, Buffer.from('{"inputFileId":"file-other"}'));
    await store.put(`open/${tenant}/batch_2`, Buffer.from(JSON.stringify({ inputFileId: file.id })));
    assert.equal(await files.delete(tenant, file.id), true);
    assert.equal(await files.get(tenant, file.id), null);
    assert.equal(await contentOf(tenant, file.id), 'input');
  });

  it('is final: no record is written over a tombstone', async () => {
    const tenant = newNonce();
    const file = await upload(tenant, newFile({ purpose: 'batch_output' }));
    await files.delete(tenant, file.id);
    const again = await elsewhere.beginContent(tenant, file.id);
    await again.write(Buffer.from('published twice'));
    await again.complete();
    assert.equal(await elsewhere.createRecord(tenant, file), 'exists');
    assert.equal(await files.get(tenant, file.id), null);
    await assertBytesGone(tenant, file.id);
    assert.deepEqual(await collect(store.list('uploads/')), []);
  });

  it('wins against a record that is written at the same time', async () => {
    const tenant = newNonce();
    for (let i = 0; i < 10; i += 1) {
      const file = await upload(tenant, newFile());
      await Promise.all([files.delete(tenant, file.id), elsewhere.createRecord(tenant, file)]);
      assert.equal(await files.get(tenant, file.id), null);
    }
  });
});

describe('FileStore: lists', () => {
  it('takes no more keys from a listing than a page needs', async () => {
    const tenant = newNonce();
    for (let i = 0; i < 12; i += 1) await files.createRecord(tenant, newFile());
    let taken = 0;
    const counting: ObjectStore = {
      ...store,
      async *list(prefix, options) {
        for await (const object of store.list(prefix, options)) {
          taken += 1;
          yield object;
        }
      },
    };
    const there = createFileStore({ store: counting, nowMs: () => nowMs, newNonce: () => newNonce(), parts: createPartPool(4) });
    for (const limit of [1, 5, 11]) {
      taken = 0;
      assert.partialDeepStrictEqual(await there.list(tenant, query({ limit })), { hasMore: true });
      assert.equal(taken, limit + 1);
    }
  });

  it('pages newest first, oldest first, and by purpose', async () => {
    const tenant = newNonce();
    const all: File[] = [];
    for (let i = 0; i < 7; i += 1) all.push(await upload(tenant, newFile({ purpose: i % 3 === 0 ? 'user_data' : 'batch' })));
    const newest = all.map((file) => file.id).reverse();
    assert.deepEqual(await pageThrough(tenant, { limit: 2 }), newest);
    assert.deepEqual(await pageThrough(tenant, { limit: 7 }), newest);
    assert.deepEqual(await pageThrough(tenant, { limit: 3, order: 'asc' }), newest.toReversed());
    assert.deepEqual(await pageThrough(tenant, { limit: 1, purpose: 'user_data' }), [newest[0], newest[3], newest[6]]);
    assert.deepEqual(await pageThrough(tenant, { limit: 10, purpose: 'nothing' }), []);
    assert.equal((await listPage(tenant, query({ limit: 7 }))).hasMore, false);
    assert.equal((await listPage(tenant, query({ limit: 6 }))).hasMore, true);
    assert.equal((await listPage(tenant, query({ limit: 2, purpose: 'user_data' }))).hasMore, true);
    assert.equal((await listPage(tenant, query({ limit: 3, purpose: 'user_data' }))).hasMore, false);
  });

  it('ends a page before its limit where names are so long that it would take too much memory, and misses no file', async () => {
    const tenant = newNonce();
    const made = Array.from({ length: 3000 }, () => ({ ...newFile(), filename: '🌙'.repeat(1024) })).sort((a, b) => (a.id < b.id ? -1 : 1));
    const byKey = new Map(made.map((file) => [`files/${tenant}/${file.id}`, file]));
    const memory: ObjectStore = {
      ...store,
      stat: async (key) => (byKey.has(key) ? { size: 1, etag: 'x' } : null),
      get: async (key) => ({ etag: 'x', body: Buffer.from(JSON.stringify(byKey.get(key))) }),
      async *list(_prefix, { startAfter = '' } = {}) {
        for (const key of byKey.keys()) if (key > startAfter) yield { key, size: 1, lastModified: new Date() };
      },
    };
    const many = createFileStore({ store: memory, nowMs: () => nowMs, newNonce: () => newNonce(), parts: createPartPool(1) });
    const found: string[] = [];
    for (let after: string | null = null, hasMore = true; hasMore;) {
      const page = await many.list(tenant, { limit: 10_000, order: 'desc', after, purpose: null });
      assert.ok(page !== 'unknown_cursor');
      assert.ok(Buffer.byteLength(JSON.stringify(page.data)) < 10_000_000);
      found.push(...page.data.map(({ id }) => id));
      after = page.data.at(-1)?.id ?? null;
      ({ hasMore } = page);
    }
    assert.deepEqual(
      found,
      made.map(({ id }) => id),
    );
  });

  it('goes on after a file that was deleted meanwhile, and knows a cursor nobody had', async () => {
    const tenant = newNonce();
    const [old, middle, young] = [await upload(tenant, newFile()), await upload(tenant, newFile()), await upload(tenant, newFile())];
    await files.delete(tenant, middle.id);
    assert.deepEqual(await files.list(tenant, query({ after: middle.id })), { data: [old], hasMore: false });
    assert.deepEqual(await files.list(tenant, query({ after: middle.id, order: 'asc' })), { data: [young], hasMore: false });
    assert.equal(await files.list(tenant, query({ after: newFile().id })), 'unknown_cursor');
  });

  it('shows each of 1,200 files once while others come and go', async () => {
    const tenant = newNonce();
    const lasting: string[] = [];
    const passing: File[] = [];
    await inParallel(1300, async (i) => {
      const file = newFile();
      await files.createRecord(tenant, file);
      if (i % 13 === 0) passing.push(file);
      else lasting.push(file.id);
    });
    let isOver = false;
    const traffic = (async () => {
      while (!isOver) {
        await files.createRecord(tenant, newFile());
        const gone = passing.pop();
        if (gone !== undefined) await files.delete(tenant, gone.id);
      }
    })();
    for (const order of ['desc', 'asc'] as const) {
      const seen = await pageThrough(tenant, { limit: 100, order }, elsewhere);
      assert.equal(new Set(seen).size, seen.length);
      assert.deepEqual(
        lasting.filter((id) => !seen.includes(id)),
        [],
      );
    }
    isOver = true;
    await traffic;
  });
});

let lastMs = 0;
function newFile(fields: Partial<File> = {}): File {
  // Ids list newest first; each of these is younger than the one before.
  lastMs = Math.max(lastMs + 1, nowMs);
  return {
    id: newFileId(lastMs, newNonce()),
    object: 'file',
    bytes: 1,
    created_at: Math.floor(lastMs / 1000),
    expires_at: null,
    filename: 'input.jsonl',
    purpose: 'batch',
    status: 'processed',
    status_details: null,
    ...fields,
  };
}

async function upload(tenant: string, file: File, content = 'x'): Promise<File> {
  const writer = await files.beginContent(tenant, file.id);
  await writer.write(Buffer.from(content));
  await writer.complete();
  assert.equal(await files.createRecord(tenant, file), 'created');
  return file;
}

function query(fields: Partial<Parameters<FileStore['list']>[1]> = {}) {
  return { limit: 100, order: 'desc' as const, after: null, purpose: null, ...fields };
}

async function listPage(tenant: string, fields: Parameters<FileStore['list']>[1], from = files) {
  const page = await from.list(tenant, fields);
  assert.notEqual(page, 'unknown_cursor');
  if (page === 'unknown_cursor') throw new Error();
  return page;
}

async function listed(tenant: string): Promise<string[]> {
  return (await listPage(tenant, query())).data.map((file) => file.id);
}

async function pageThrough(tenant: string, fields: Partial<Parameters<FileStore['list']>[1]>, from = files): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | null = null; ;) {
    const page = await listPage(tenant, query({ ...fields, after }), from);
    ids.push(...page.data.map((file) => file.id));
    after = page.data.at(-1)?.id ?? null;
    if (!page.hasMore) return ids;
  }
}

/** The bytes of a deleted file go in the background. */
async function assertBytesGone(tenant: string, id: string): Promise<void> {
  await until(async () => (await store.stat(`content/${tenant}/${id}`)) === null, { what: 'the bytes to be removed' });
}

async function contentOf(tenant: string, id: string): Promise<string | null> {
  const found = await elsewhere.openContent(tenant, id);
  return found === null ? null : Buffer.concat(await collect<Buffer>(found.body)).toString();
}

async function inParallel(count: number, run: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: 32 }, one));
}
