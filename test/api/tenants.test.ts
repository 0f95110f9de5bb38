import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { toFile } from 'openai';
import { newBatchId, newFileId, newUploadId, newUploadPartId } from '../../src/domain/ids.ts';
import { createBatchStore } from '../../src/storage/batch-store.ts';
import { createFileStore } from '../../src/storage/file-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createUploadStore } from '../../src/storage/upload-store.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';
import { envelopeOf, startTestApi, type TestApi } from './test-api.ts';

const hex = (bytes: number) => randomBytes(bytes).toString('hex');
/** A stranger, who wants to know what tenant-a has. */
const STRANGER = { authorization: 'Bearer key-b' };

/** A bucket that writes down every call: what was asked, and in which part of the bucket. */
function watched(store: ObjectStore, calls: string[]): ObjectStore {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        calls.push(`${String(name)} ${String(args[0]).split('/').slice(0, 2).join('/')}`);
        return Reflect.apply(member, target, args);
      };
    },
  });
}

describe('what another tenant has', () => {
  let bucket: TestBucket;
  let api: TestApi;
  const calls: string[] = [];
  /** Ids of tenant-a, each beside one of the same kind and time that nobody has. */
  let file: [string, string];
  let batch: [string, string];
  let upload: [string, string];
  let part: [string, string];

  before(async () => {
    bucket = await startTestBucket();
    const store = watched(bucket.store, calls);
    const [newNonce, parts] = [() => hex(8), createPartPool(4)];
    api = await startTestApi(bucket, {
      files: createFileStore({ store, nowMs: Date.now, newNonce, parts }),
      uploads: createUploadStore({ store, newNonce, parts }),
      batches: createBatchStore({ store }),
      objectStore: store,
    });
    const owner = api.client('key-a');
    const now = Date.now();
    const input = await owner.files.create({ file: await toFile(Buffer.from('{}\n'), 'x.jsonl'), purpose: 'batch' });
    const running = await owner.batches.create({
      input_file_id: input.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    const pending = await owner.uploads.create({ bytes: 3, filename: 'x', mime_type: 'text/plain', purpose: 'user_data' });
    const sent = await owner.uploads.parts.create(pending.id, { data: await toFile(Buffer.from('abc'), 'x') });
    file = [input.id, newFileId(now, hex(6))];
    batch = [running.id, newBatchId(now, hex(10))];
    upload = [pending.id, newUploadId(now, hex(10))];
    part = [sent.id, newUploadPartId(now, hex(10))];
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await bucket[Symbol.asyncDispose]();
  });

  /** Asks as the stranger; answers what was said, with the id taken out, and what it cost in the bucket. */
  async function ask(path: string, id: string, init: RequestInit = {}) {
    calls.length = 0;
    const answer = await api.fetch(path.replace('{id}', id), { ...init, headers: { ...STRANGER, ...Object(init.headers) } });
    const text = (await answer.clone().text()).replaceAll(id, '{id}');
    return { status: answer.status, text, calls: [...calls], answer };
  }

  const formOf = (): RequestInit => {
    const body = new FormData();
    body.set('data', new Blob(['abc']));
    return { method: 'POST', body };
  };
  const json = (body: object): RequestInit => ({ method: 'POST', body: JSON.stringify(body) });

  it('is unknown in every place an id can stand: same answer, same calls to the bucket as for an id nobody has', async () => {
    const places: [string, [string, string], number, () => RequestInit][] = [
      ['/v1/files/{id}', file, 404, () => ({})],
      ['/v1/files/{id}/content', file, 404, () => ({})],
      ['/v1/files/{id}/content', file, 404, () => ({ headers: { range: 'bytes=0-0' } })],
      ['/v1/files/{id}', file, 404, () => ({ method: 'DELETE' })],
      ['/v1/files?after={id}', file, 400, () => ({})],
      ['/v1/files?order=asc&after={id}', file, 400, () => ({})],
      ['/v1/batches/{id}', batch, 404, () => ({})],
      ['/v1/batches/{id}/cancel', batch, 404, () => ({ method: 'POST' })],
      ['/v1/batches?after={id}', batch, 400, () => ({})],
      ['/v1/uploads/{id}/parts', upload, 404, formOf],
      ['/v1/uploads/{id}/complete', upload, 404, () => json({ part_ids: [part[0]] })],
      ['/v1/uploads/{id}/cancel', upload, 404, () => ({ method: 'POST' })],
    ];
    for (const [path, [foreign, unknown], status, init] of places) {
      const [told, reference] = [await ask(path, foreign, init()), await ask(path, unknown, init())];
      assert.equal(told.status, status, path);
      await envelopeOf(told.answer);
      assert.equal(told.text, reference.text, path);
      assert.deepEqual(told.calls, reference.calls, path);
      assert.ok(
        told.calls.every((call) => !call.includes('tenant-a')),
        `${path}: ${told.calls.join()}`,
      );
    }
  });

  it('is no input file of a batch: the create looks like that of an unknown one', async () => {
    const created = async (input_file_id: string) => {
      const { answer, calls: cost } = await ask(
        '/v1/batches',
        input_file_id,
        json({ input_file_id, endpoint: '/v1/embeddings', completion_window: '24h' }),
      );
      const made = Object(await answer.json());
      return { status: answer.status, rest: { ...made, id: '', created_at: 0, expires_at: 0, input_file_id: '' }, calls: cost };
    };
    const [told, reference] = [await created(file[0]), await created(file[1])];
    assert.equal(told.status, 200);
    assert.deepEqual(told, reference);
    assert.ok(told.calls.every((call) => !call.includes('tenant-a')));
  });

  it('is no part of an upload', async () => {
    const mine = await api.client('key-b').uploads.create({ bytes: 3, filename: 'x', mime_type: 'text/plain', purpose: 'user_data' });
    const complete = async (id: string) => await ask(`/v1/uploads/${mine.id}/complete`, id, json({ part_ids: [id] }));
    const [told, reference] = [await complete(part[0]), await complete(part[1])];
    assert.equal(told.status, 400);
    assert.deepEqual([told.text, told.calls], [reference.text, reference.calls]);
  });

  it('is in no list, and nothing of it has changed', async () => {
    const stranger = api.client('key-b');
    assert.deepEqual((await stranger.files.list()).data, []);
    assert.ok((await stranger.batches.list({ limit: 100 })).data.every(({ id }) => id !== batch[0]));
    const owner = api.client('key-a');
    assert.equal(await (await owner.files.content(file[0])).text(), '{}\n');
    assert.equal((await owner.batches.retrieve(batch[0])).status, 'validating');
    assert.equal((await owner.uploads.complete(upload[0], { part_ids: [part[0]] })).status, 'completed');
    assert.deepEqual(api.runs.cancelled, []);
  });

  it('lies under no key that a name of a tenant could lead to', async () => {
    // One name begins with the other: a list by prefix must not run over.
    await bucket.store.put('files/tenant-b2/file-1', Buffer.from('{}'));
    await bucket.store.put('batches/tenant-b2/batch_1', Buffer.from('{}'));
    assert.deepEqual((await api.client('key-b').files.list()).data, []);
    assert.equal((await api.client('key-b').batches.list()).data.length, 2);
  });
});
