import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { BatchRecord } from '../../src/domain/batch.ts';
import { newBatchId } from '../../src/domain/ids.ts';
import { newBatch } from '../../src/domain/new-batch.ts';
import { createUsageTable, type ModelUsage } from '../../src/domain/usage.ts';
import { createUsageStore } from '../../src/storage/usage-store.ts';
import { collect, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
before(async () => (bucket = await startTestBucket()));
after(async () => await bucket[Symbol.asyncDispose]());

let made = 0;
const DAY = Date.parse('2026-03-01T00:00:00Z') / 1000;

function sums(model: string | null, requests: number): ModelUsage {
  return { model, requests, failed: 1, input_tokens: requests, output_tokens: 2, total_tokens: requests + 2 };
}

/** A batch that ended at this moment. */
function ended(tenant: string, atSeconds: number, usage: ModelUsage[]): BatchRecord {
  const id = newBatchId(atSeconds * 1000, String((made += 1)).padStart(20, '0'));
  const given = { endpoint: '/v1/embeddings', inputFileId: 'file-x', completionWindow: '24h', windowMs: 1, metadata: null };
  const batch = newBatch({ ...given, id, nowSeconds: atSeconds - 100 });
  return {
    batch: { ...batch, status: 'completed', completed_at: atSeconds },
    tenant,
    output_expires_after_seconds: null,
    usage_by_model: usage,
  };
}

describe('createUsageStore', () => {
  it('counts each batch once, however often and at the same time its end is told', async () => {
    const usage = createUsageStore(bucket.store);
    const records = Array.from({ length: 20 }, () => ended('many', DAY + 5, [sums('m', 10)]));
    await Promise.all([...records, ...records, ...records].map(async (record) => await usage.add(record)));
    const table = createUsageTable(['day', 'model']);
    for (const each of await collect(usage.read({ tenant: 'many', from: '2026-03-01', to: '2026-03-01' }))) table.add(each);
    assert.deepEqual(table.rows(), [
      { day: '2026-03-01', model: 'm', requests: 200, failed: 20, input_tokens: 200, output_tokens: 40, total_tokens: 240 },
    ]);
  });

  it('answers the days from first to last, of one tenant or of all', async () => {
    const usage = createUsageStore(bucket.store);
    for (const [tenant, at] of [
      ['a', DAY - 1],
      ['a', DAY],
      ['a', DAY + 86_399],
      ['a', DAY + 86_400],
      ['ab', DAY],
    ] as const)
      await usage.add(ended(tenant, at, [sums(tenant, 1)]));
    const days = async (tenant: string | null, from: string, to: string) =>
      (await collect(usage.read({ tenant, from, to })))
        .filter((each) => each.tenant !== 'many')
        .map(({ tenant: of, day, requests }) => `${of} ${day} ${requests}`)
        .sort();
    assert.deepEqual(await days('a', '2026-03-01', '2026-03-01'), ['a 2026-03-01 1', 'a 2026-03-01 1']);
    assert.deepEqual(await days('a', '2026-02-28', '2026-02-28'), ['a 2026-02-28 1']);
    assert.deepEqual(await days(null, '2026-03-01', '2026-03-02'), [
      'a 2026-03-01 1',
      'a 2026-03-01 1',
      'a 2026-03-02 1',
      'ab 2026-03-01 1',
    ]);
  });

  it('sums further models under null when a tenant names hundreds a day', async () => {
    const usage = createUsageStore(bucket.store);
    const models = Array.from({ length: 1000 }, (_, at) => sums(`model-${at}`, 1));
    const [one, other] = [ended('names', DAY, models.slice(0, 500)), ended('names', DAY, models.slice(500))];
    other.batch.id = `${other.batch.id.slice(0, -1)}${one.batch.id.slice(-1)}`;
    other.batch.id = other.batch.id === one.batch.id ? `${other.batch.id.slice(0, -2)}f${one.batch.id.slice(-1)}` : other.batch.id;
    for (const record of [one, other]) await usage.add(record);
    const found = await collect(usage.read({ tenant: 'names', from: '2026-03-01', to: '2026-03-01' }));
    assert.equal(found.length, 301);
    assert.equal(
      found.reduce((sum, { requests }) => sum + requests, 0),
      1000,
    );
    assert.equal(found.find(({ model }) => model === null)?.requests, 700);
  });

  it('counts nothing for a batch that ended without results', async () => {
    const usage = createUsageStore(bucket.store);
    const { usage_by_model: _, ...refused } = ended('none', DAY, []);
    await usage.add(refused);
    assert.deepEqual(await collect(bucket.store.list('usage/none/')), []);
  });
});
