import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newBatchId, newFileId } from '../../src/domain/ids.ts';
import { seedBatches, seedFiles, type WriteAll } from '../helpers/seed-records.ts';
import { unpackIntoBucket } from '../helpers/unpack-into-bucket.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';
import { startTestApi, type TestApi } from './test-api.ts';

/** As many files as one page may hold, and batches for several pages of the bucket's own list. */
const [FILES, BATCHES] = [10_000, 2000];

describe('10,000 files and 2,000 batches of one tenant', () => {
  let bucket: TestBucket;
  let api: TestApi;
  /** A second process: the same bucket, nothing remembered. */
  let other: TestApi;
  /** Newest first. */
  let files: string[];
  let batches: string[];
  before(async () => {
    bucket = await startTestBucket();
    [api, other] = [await startTestApi(bucket), await startTestApi(bucket)];
    const write: WriteAll = async (objects) => await unpackIntoBucket(bucket.minio, bucket.name, objects);
    files = await seedFiles(write, 'tenant-a', FILES);
    batches = await seedBatches(write, 'tenant-a', BATCHES);
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    await bucket[Symbol.asyncDispose]();
  });

  async function page(path: string, from = api): Promise<{ ids: string[]; hasMore: boolean }> {
    const answer = await from.fetch(path);
    assert.equal(answer.status, 200, path);
    const { data, has_more, first_id, last_id } = Object(await answer.json());
    const ids: string[] = data.map(({ id }: { id: string }) => id);
    assert.deepEqual([first_id, last_id], [ids[0] ?? null, ids.at(-1) ?? null]);
    return { ids, hasMore: has_more };
  }

  it('come a page of 100 at a time, newest first, from any cursor', async () => {
    for (const [path, all] of [
      ['/v1/batches', batches],
      ['/v1/files', files],
    ] as const) {
      for (const at of [0, 1, 99, 100, 1500, all.length - 101, all.length - 100, all.length - 2]) {
        const { ids, hasMore } = await page(`${path}?limit=100&after=${all[at]}`);
        assert.deepEqual(ids, all.slice(at + 1, at + 101));
        assert.equal(hasMore, at + 101 < all.length);
      }
      assert.deepEqual((await page(`${path}?limit=100`)).ids, all.slice(0, 100));
      assert.deepEqual(await page(`${path}?limit=100&after=${all.at(-1)}`), { ids: [], hasMore: false });
    }
  });

  it('come oldest first as well, from any cursor', async () => {
    const oldest = files.toReversed();
    for (const at of [0, 5000, FILES - 50]) {
      const { ids, hasMore } = await page(`/v1/files?order=asc&limit=100&after=${oldest[at]}`);
      assert.deepEqual(ids, oldest.slice(at + 1, at + 101));
      assert.equal(hasMore, at + 101 < FILES);
    }
  });

  it('are all in one list, which is what files.list() asks for, in both orders, cold and warm', async () => {
    for (const from of [other, other]) {
      assert.deepEqual(await page('/v1/files', from), { ids: files, hasMore: false });
      assert.deepEqual(await page('/v1/files?order=asc', from), { ids: files.toReversed(), hasMore: false });
    }
    const sdk = await other.client().files.list();
    assert.deepEqual([sdk.data.length, sdk.has_more], [FILES, false]);
  });

  it('are asked of the bucket once: a warm list reads no record', async () => {
    const { get } = bucket.store;
    let reads = 0;
    bucket.store.get = async (...args) => {
      reads += 1;
      return await get(...args);
    };
    try {
      await page('/v1/files', other);
      assert.equal(reads, 0);
    } finally {
      bucket.store.get = get;
    }
  });

  it('come each once through the SDK while other clients create, cancel and delete', async () => {
    // What `other` has read does not change what it lists.
    const client = other.client();
    let isOver = false;
    const passing = files.filter((_, index) => index % 50 === 7);
    const lasting = files.filter((_, index) => index % 50 !== 7);
    const traffic = (async () => {
      for (let i = 0; !isOver; i += 1) {
        await api.client().batches.create({
          input_file_id: newFileId(Date.now(), '0'.repeat(12)),
          endpoint: '/v1/chat/completions',
          completion_window: '24h',
        });
        await api.client().files.create({ file: new File(['{}\n'], 'x.jsonl'), purpose: 'batch' });
        const gone = passing[i];
        if (gone !== undefined) await api.client().files.delete(gone);
      }
    })();
    const seen: string[] = [];
    for await (const { id } of client.batches.list({ limit: 100 })) seen.push(id);
    assert.equal(new Set(seen).size, seen.length);
    assert.deepEqual(seen.slice(-BATCHES), batches);

    for (const order of ['desc', 'asc'] as const) {
      const found = new Set<string>();
      for await (const { id } of client.files.list({ limit: 1000, order })) {
        assert.ok(!found.has(id), 'twice');
        found.add(id);
      }
      assert.deepEqual(
        lasting.filter((id) => !found.has(id)),
        [],
      );
    }
    isOver = true;
    await traffic;
  });

  it('go on after one that was deleted, and not after one that nobody had', async () => {
    const client = api.client();
    const [deleted = '', ...rest] = files.slice(5001, 5010);
    await client.files.delete(deleted);
    assert.deepEqual(
      (await page(`/v1/files?limit=2&after=${deleted}`, other)).ids,
      rest.filter((_, index) => index < 2),
    );
    for (const path of [
      `/v1/files?after=${newFileId(Date.now(), 'f'.repeat(12))}`,
      `/v1/files?order=asc&after=${newFileId(Date.now(), 'f'.repeat(12))}`,
      `/v1/batches?after=${newBatchId(Date.now(), 'f'.repeat(20))}`,
    ])
      assert.equal((await api.fetch(path)).status, 400, path);
  });
});
