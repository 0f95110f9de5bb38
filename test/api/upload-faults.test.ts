import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { InternalServerError, type OpenAI, toFile } from 'openai';
import { first, startFaultProxy, type FaultProxy } from '../storage/fault-proxy.ts';
import { collect, startTestBucket, type TestBucket } from '../storage/test-bucket.ts';
import { startTestApi, type TestApi } from './test-api.ts';

const MIB = 1024 * 1024;
const isPartRead = (method: string, path: string) => method === 'GET' && /resumable\/.*\/parts\/part_/.test(path);
const isRecordWrite = (method: string, path: string) => method === 'PUT' && /resumable\/.*\/record/.test(path);
const isFileWrite = (method: string, path: string) => method === 'PUT' && /\/files\//.test(path);

describe('POST /v1/files, while the bucket misbehaves', () => {
  it('answers the file although the answer to its record is lost', async () => {
    await using bucket = await startTestBucket();
    await using proxy = await startFaultProxy(bucket.minio.endpoint);
    await using api = await startTestApi({ ...bucket, store: bucket.connect({ endpoint: proxy.endpoint, timeoutMs: 10_000 }) });
    const client = api.client('key-a', { maxRetries: 0 });
    proxy.fault = first(1, 'answer-lost', isFileWrite);
    const { id } = await client.files.create({ file: await toFile(Buffer.from('{}\n'), 'input.jsonl'), purpose: 'batch' });
    assert.deepEqual(
      (await client.files.list()).data.map((file) => file.id),
      [id],
    );
  });
});

describe('/v1/uploads, while the bucket misbehaves', () => {
  let bucket: TestBucket;
  let proxy: FaultProxy;
  let api: TestApi;
  let client: OpenAI;
  before(async () => {
    bucket = await startTestBucket();
    proxy = await startFaultProxy(bucket.minio.endpoint);
    api = await startTestApi({ ...bucket, store: bucket.connect({ endpoint: proxy.endpoint, timeoutMs: 10_000 }) });
    client = api.client();
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await bucket[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    proxy.fault = () => null;
  });

  const content = Buffer.concat([Buffer.from('{}\n'), randomBytes(10 * MIB)]);
  const md5 = createHash('md5').update(content).digest('hex');
  async function filled() {
    const { id } = await client.uploads.create({ bytes: content.length, filename: 'a', mime_type: 'b', purpose: 'batch' });
    const halves = [content.subarray(0, 6 * MIB), content.subarray(6 * MIB)];
    const parts = await Promise.all(halves.map(async (half) => await client.uploads.parts.create(id, { data: await toFile(half) })));
    return { id, part_ids: parts.map((part) => part.id) };
  }
  const keysBelow = async (prefix: string) => (await collect(bucket.store.list(prefix))).map(({ key }) => key);
  const assertWhole = async (fileId: string | undefined) =>
    assert.ok(content.equals(Buffer.from(await (await client.files.content(fileId ?? '')).arrayBuffer())));

  it('completes although the read of a part breaks off', async () => {
    const { id, part_ids } = await filled();
    proxy.fault = first(1, 'cut', isPartRead);
    const { file } = await client.uploads.complete(id, { part_ids, md5 });
    await assertWhole(file?.id);
  });

  it('makes one file although the answer to the deciding write is lost', async () => {
    const { id, part_ids } = await filled();
    const before = (await keysBelow('files/')).length;
    proxy.fault = first(1, 'answer-lost', isRecordWrite);
    const { file } = await client.uploads.complete(id, { part_ids, md5 });
    assert.equal((await keysBelow('files/')).length, before + 1);
    await assertWhole(file?.id);
  });

  it('answers 503 when the parts cannot be read, keeps them, drops the half file and completes later', async () => {
    const { id, part_ids } = await filled();
    const before = await keysBelow('content/');
    proxy.fault = (method, path) => (isPartRead(method, path) ? '503' : null);
    await assert.rejects(
      client.uploads.complete(id, { part_ids }),
      (error: unknown) => error instanceof InternalServerError && error.status === 503,
    );
    assert.deepEqual([await keysBelow('content/'), await keysBelow('uploads/')], [before, []]);
    proxy.fault = () => null;
    await assertWhole((await client.uploads.complete(id, { part_ids, md5 })).file?.id);
  });

  it('finishes with the next try when the file could not be made visible', async () => {
    const { id, part_ids } = await filled();
    proxy.fault = (method, path) => (isFileWrite(method, path) ? '503' : null);
    await assert.rejects(client.uploads.complete(id, { part_ids }), InternalServerError);
    proxy.fault = () => null;
    await assertWhole((await client.uploads.complete(id, { part_ids })).file?.id);
    assert.deepEqual([await keysBelow('uploads/'), await keysBelow(`resumable/tenant-a/${id}/parts/`)], [[], []]);
  });
});
