import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type BatchRecord, zeroUsage } from '../../src/domain/batch.ts';
import { newBatchId } from '../../src/domain/ids.ts';
import { type BatchStore, createBatchStore } from '../../src/storage/batch-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
let batches: BatchStore;

before(async () => {
  bucket = await startTestBucket();
  batches = createBatchStore({ store: bucket.store });
});
after(() => bucket[Symbol.asyncDispose]());

describe('BatchStore: one batch', () => {
  it('is there with its open marker once created; a second creation changes nothing', async () => {
    const record = newRecord(newNonce());
    await batches.create(record);
    await batches.create({ ...record, batch: { ...record.batch, metadata: { second: 'try' } } });
    assert.deepEqual(await batches.get(record.tenant, record.batch.id), record);
    const open = (await collect(batches.listOpen())).filter((marker) => marker.tenant === record.tenant);
    assert.deepEqual(
      open.map(({ id, inputFileId }) => [id, inputFileId]),
      [[record.batch.id, record.batch.input_file_id]],
    );
    assert.ok(Math.abs(Date.now() - Number(open[0]?.since)) < 60_000);
    await batches.removeOpen(record.tenant, record.batch.id);
    await batches.removeOpen(record.tenant, record.batch.id);
    assert.deepEqual(
      (await collect(batches.listOpen())).filter((marker) => marker.tenant === record.tenant),
      [],
    );
  });

  it('has its marker although a sweep took that for an orphan before the record was written', async () => {
    const record = newRecord(newNonce());
    const [marker, key] = [`open/${record.tenant}/${record.batch.id}`, `batches/${record.tenant}/${record.batch.id}`];
    const { store } = bucket;
    const slow = createBatchStore({
      store: {
        ...store,
        async create(at, body) {
          if (at === key) await store.remove([marker]);
          return await store.create(at, body);
        },
      },
    });
    await slow.create(record);
    assert.deepEqual(await batches.get(record.tenant, record.batch.id), record);
    assert.notEqual(await store.stat(marker), null);
    await batches.removeOpen(record.tenant, record.batch.id);
  });

  it('is unknown to another tenant', async () => {
    const record = newRecord('acme');
    await batches.create(record);
    assert.equal(await batches.get('acme.b', record.batch.id), null);
    assert.equal(await batches.update('acme.b', record.batch.id, () => assert.fail()), null);
    assert.deepEqual(await batches.list('acme.b', { limit: 5, after: null }), { data: [], hasMore: false });
    assert.equal(await batches.list('acme.b', { limit: 5, after: record.batch.id }), 'unknown_cursor');
  });
});

describe('BatchStore: update', () => {
  it('loses none of 20 changes made at the same time', async () => {
    const record = newRecord(newNonce());
    await batches.create(record);
    const seen = await Promise.all(
      Array.from({ length: 20 }, () =>
        batches.update(record.tenant, record.batch.id, (found) => ({
          ...found,
          batch: { ...found.batch, request_counts: { ...found.batch.request_counts, completed: found.batch.request_counts.completed + 1 } },
        })),
      ),
    );
    const counts = seen.map((found) => found?.batch.request_counts.completed).sort((a = 0, b = 0) => a - b);
    assert.deepEqual(
      counts,
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    assert.equal((await batches.get(record.tenant, record.batch.id))?.batch.request_counts.completed, 20);
  });

  it('writes nothing and answers what is there when there is nothing to change', async () => {
    const record = newRecord(newNonce());
    await batches.create(record);
    const before = await bucket.store.stat(`batches/${record.tenant}/${record.batch.id}`);
    assert.deepEqual(await batches.update(record.tenant, record.batch.id, () => null), record);
    assert.deepEqual(await bucket.store.stat(`batches/${record.tenant}/${record.batch.id}`), before);
    assert.equal(await batches.update(record.tenant, 'batch_unknown', () => assert.fail()), null);
  });
});

describe('BatchStore: lists', () => {
  it('pages newest first without gap or repeat', async () => {
    const tenant = newNonce();
    const ids: string[] = [];
    for (let i = 0; i < 50; i += 1) {
      const record = newRecord(tenant);
      await batches.create(record);
      ids.unshift(record.batch.id);
    }
    const seen: string[] = [];
    for (let after: string | null = null; ;) {
      const page = await batches.list(tenant, { limit: 20, after });
      if (page === 'unknown_cursor') assert.fail();
      seen.push(...page.data.map((record) => record.batch.id));
      after = page.data.at(-1)?.batch.id ?? null;
      assert.equal(page.hasMore, seen.length < 50);
      if (!page.hasMore) break;
    }
    assert.deepEqual(seen, ids);
  });

  it('takes no more keys from a listing, and reads no more records, than a page needs', async () => {
    const tenant = newNonce();
    for (let i = 0; i < 6; i += 1) await batches.create(newRecord(tenant));
    let [taken, reads] = [0, 0];
    const counting: ObjectStore = {
      ...bucket.store,
      async get(key) {
        reads += 1;
        return await bucket.store.get(key);
      },
      async *list(prefix, options) {
        for await (const object of bucket.store.list(prefix, options)) {
          taken += 1;
          yield object;
        }
      },
    };
    const page = await createBatchStore({ store: counting }).list(tenant, { limit: 3, after: null });
    assert.partialDeepStrictEqual(page, { hasMore: true });
    assert.deepEqual([taken, reads], [4, 4]);
  });

  it('lists the open markers of 500 batches of many tenants', async () => {
    const tenants = Array.from({ length: 5 }, () => newNonce());
    const records = tenants.flatMap((tenant) => Array.from({ length: 100 }, () => newRecord(tenant)));
    await Promise.all(records.map((record) => batches.create(record)));
    const open = await collect(createBatchStore({ store: bucket.store }).listOpen());
    const found = new Set(open.map(({ tenant, id, inputFileId }) => `${tenant} ${id} ${inputFileId}`));
    assert.ok(records.every(({ tenant, batch }) => found.has(`${tenant} ${batch.id} ${batch.input_file_id}`)));
  });
});

describe('BatchStore: idempotency', () => {
  it('lets the first of several claims through and shows its entry to the others', async () => {
    const tenant = newNonce();
    const entries = Array.from({ length: 5 }, (_, i) => ({
      bodyHash: `${i}`,
      createdAtMs: i,
      record: newRecord(tenant),
      state: 'made' as const,
    }));
    const answers = await Promise.all(entries.map((entry) => batches.claimIdempotency(tenant, 'h', entry)));
    const winner = entries[answers.indexOf(null)];
    assert.deepEqual(
      answers.filter((answer) => answer !== null),
      Array(4).fill(winner),
    );
    assert.deepEqual(await batches.getIdempotency(tenant, 'h'), winner);
  });

  it('lets one of several claims take the place of an entry that is past', async () => {
    const tenant = newNonce();
    const isPast = ({ createdAtMs }: { createdAtMs: number }) => createdAtMs < 10;
    await batches.putIdempotency(tenant, 'h', { bodyHash: 'h', createdAtMs: 9, record: newRecord(tenant), state: 'made' as const });
    const entries = Array.from({ length: 5 }, (_, i) => ({
      bodyHash: 'h',
      createdAtMs: 10 + i,
      record: newRecord(tenant),
      state: 'made' as const,
    }));
    const answers = await Promise.all(entries.map((entry) => batches.claimIdempotency(tenant, 'h', entry, isPast)));
    const winner = entries[answers.indexOf(null)];
    assert.deepEqual(
      answers.filter((answer) => answer !== null),
      Array(4).fill(winner),
    );
    assert.deepEqual(await batches.getIdempotency(tenant, 'h'), winner);
  });

  it('replaces an entry on put, and has none for a hash nobody used', async () => {
    const tenant = newNonce();
    const entry = { bodyHash: 'a', createdAtMs: 1, record: newRecord(tenant), state: 'made' as const };
    await batches.putIdempotency(tenant, 'h', entry);
    await batches.putIdempotency(tenant, 'h', { ...entry, createdAtMs: 2 });
    assert.equal((await batches.getIdempotency(tenant, 'h'))?.createdAtMs, 2);
    assert.equal(await batches.getIdempotency(tenant, 'other'), null);
    assert.equal(await batches.getIdempotency(newNonce(), 'h'), null);
  });
});

let made = 0;
function newRecord(tenant: string): BatchRecord {
  made += 1;
  return {
    tenant,
    output_expires_after_seconds: null,
    batch: {
      id: newBatchId(made, newNonce(10)),
      object: 'batch',
      endpoint: '/v1/chat/completions',
      model: null,
      errors: null,
      input_file_id: `file-${newNonce()}`,
      completion_window: '24h',
      status: 'validating',
      output_file_id: null,
      error_file_id: null,
      created_at: 1,
      in_progress_at: null,
      expires_at: 86_401,
      finalizing_at: null,
      completed_at: null,
      failed_at: null,
      expired_at: null,
      cancelling_at: null,
      cancelled_at: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      usage: zeroUsage(),
      metadata: null,
    },
  };
}
