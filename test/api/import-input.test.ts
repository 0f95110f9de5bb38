import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toFile } from 'openai';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { DEFAULT_TENANT } from '../../src/domain/tenant.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { chatLines } from '../helpers/lines.ts';
import { newNonce, startTestBucket, type TestBucket } from '../storage/test-bucket.ts';
import { limitedTo, NO_LIMITS, startTestApi, type TestApi } from './test-api.ts';

let bucket: TestBucket;
let api: TestApi;
let own: ObjectStore;
let opened = 0;
let maxStoredBytes: number | null = null;
/** Called while an input is read. */
let whileReading: () => Promise<void> = async () => undefined;
before(async () => {
  bucket = await startTestBucket();
  const whole = bucket.connect({ bucket: `own-${newNonce()}` });
  await whole.ensureBucket();
  own = withKeyPrefix(whole, 'in/');
  const store: ObjectStore = {
    ...own,
    async open(key, range) {
      opened += 1;
      const found = await own.open(key, range);
      await whileReading();
      return found;
    },
  };
  api = await startTestApi(bucket, {
    ownBucketOf: (tenant) => (tenant === 'tenant-a' ? { store, uri: 's3://team-a/in/' } : null),
    limits: { ...DEFAULT_LIMITS, maxBatchInputBytes: 10_000 },
    settingsOf: () => ({ ...DEFAULT_TENANT, limits: { ...NO_LIMITS, maxStoredBytes } }),
  });
});
after(async () => {
  await api[Symbol.asyncDispose]();
  await bucket[Symbol.asyncDispose]();
});

const create = async (input_file_id: string, key = 'key-a') =>
  await api.client(key).batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' });

describe('POST /v1/batches with an object of the own bucket', () => {
  it('makes a file of the object as it was, whatever becomes of it', async () => {
    await own.put('night/lines.jsonl', Buffer.from(chatLines(2)));
    const batch = await create('s3://team-a/in/night/lines.jsonl');
    assert.match(batch.input_file_id, /^file-/);
    await own.put('night/lines.jsonl', Buffer.from('other'));
    assert.equal(await (await api.client().files.content(batch.input_file_id)).text(), chatLines(2));
    assert.equal((await api.client().files.retrieve(batch.input_file_id)).filename, 'lines.jsonl');
  });

  it('says what is wrong with an object that is not there, is elsewhere, or of a tenant without a bucket', async () => {
    for (const [uri, key, message] of [
      ['s3://team-a/in/none.jsonl', 'key-a', /there is no such object/],
      ['s3://team-a/out/x.jsonl', 'key-a', /it is not below 's3:\/\/team-a\/in\/'/],
      ['s3://other/in/x.jsonl', 'key-a', /it is not below 's3:\/\/team-a\/in\/'/],
      ['s3://team-a/in/', 'key-a', /it is not below/],
      ['s3://team-a/in/night/lines.jsonl', 'key-b', /this tenant has no bucket/],
    ] as const) {
      await assert.rejects(create(uri, key), (error: unknown) => {
        assert.deepEqual([Object(error).status, Object(error).param], [400, 'input_file_id'], uri);
        assert.match(String(error), message);
        return true;
      });
    }
  });

  it('refuses an object that changes while it is read, and one that is no input', async () => {
    await own.put('changing.jsonl', Buffer.from(chatLines(3)));
    whileReading = async () => await own.put('changing.jsonl', Buffer.from(chatLines(4)));
    await assert.rejects(create('s3://team-a/in/changing.jsonl'), /it was changed while it was read/);
    whileReading = async () => undefined;
    await own.put('picture.png', Buffer.from('\x89PNG'));
    await assert.rejects(create('s3://team-a/in/picture.png'), /Must be \.jsonl/);
  });

  it('refuses an object that is too large, or too large for what the tenant may store, before it is opened', async () => {
    await own.put('huge.jsonl', Buffer.from(chatLines(200)));
    await own.put('large.jsonl', Buffer.from(chatLines(10)));
    await own.put('small.jsonl', Buffer.from(chatLines(1)));
    const { storedBytes } = api.files;
    maxStoredBytes = (await storedBytes('tenant-a')) + Buffer.byteLength(chatLines(10)) - 1;
    opened = 0;
    await assert.rejects(create('s3://team-a/in/huge.jsonl'), /File is too large/);
    await assert.rejects(create('s3://team-a/in/large.jsonl'), { status: 429, code: 'storage_quota_exceeded' });
    assert.equal(opened, 0);
    await create('s3://team-a/in/small.jsonl');
    // What this process has stored counts before the bucket is measured again.
    maxStoredBytes = (await storedBytes('tenant-a')) + 1;
    await assert.rejects(create('s3://team-a/in/small.jsonl'), { status: 429, code: 'storage_quota_exceeded' });
    assert.equal(opened, 1);
    maxStoredBytes = null;
  });

  it('does not measure for a create of an uploaded file, which succeeds also when the tenant is full', async () => {
    const { id } = await api.client().files.create({ file: await toFile(Buffer.from(chatLines(1)), 'in.jsonl'), purpose: 'batch' });
    await using full = await startTestApi(bucket, { settingsOf: limitedTo({ ...NO_LIMITS, maxStoredBytes: 1 }) });
    let measurements = 0;
    full.deps.files.storedBytes = async () => (measurements += 1);
    await full.client().batches.create({ input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    assert.equal(measurements, 0);
  });
});
