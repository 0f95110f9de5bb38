import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyStore, type CopyTask } from '../../src/storage/copy-store.ts';
import { createEmbeddedObjectStore } from '../../src/storage/embedded/embedded-object-store.ts';
import { keys } from '../../src/storage/keys.ts';
import { ObjectStoreError, type ObjectStore } from '../../src/storage/object-store.ts';
import { collect, newNonce, startTestBucket } from './test-bucket.ts';

let folder: string;
const opened: ObjectStore[] = [];

before(async () => (folder = await mkdtemp(join(tmpdir(), 'nightshift-copy-'))));
after(async () => {
  for (const store of opened) store.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function newStore(): Promise<ObjectStore> {
  const store = createEmbeddedObjectStore({ folder: join(folder, newNonce()) });
  opened.push(store);
  await store.ensureBucket();
  return store;
}

/** A store with objects of every size; more keys than fit a page of a list are not needed. */
async function filled(): Promise<ObjectStore> {
  const store = await newStore();
  for (const name of ['a', 'b/1', 'b/2', 'ü', '\ue000', '😀', 'empty', ...Array.from({ length: 30 }, (_, index) => `many/${index}`)])
    await store.put(`records/${name}`, name === 'empty' ? Buffer.alloc(0) : Buffer.from(`of ${name}`));
  await store.put('content/large', Buffer.alloc(20_000_000, 'large'));
  await store.put(keys.probe('nonce', 'left'), Buffer.from('x'));
  return store;
}

async function run(task: Partial<CopyTask> & Pick<CopyTask, 'from' | 'to'>) {
  return await copyStore({ source: 'the source', signal: new AbortController().signal, onObject: () => {}, ...task });
}

async function contentOf(store: ObjectStore): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { key } of await collect(store.list(''))) {
    if (!key.startsWith('probe/')) found.set(key, (await store.get(key))?.body.toString('base64') ?? 'none');
  }
  return found;
}

describe('copyStore', () => {
  it('moves everything to MinIO and back', async () => {
    await using bucket = await startTestBucket();
    const [from, back] = [await filled(), await newStore()];
    const expected = await contentOf(from);
    const result = await run({ from, to: bucket.store });
    assert.deepEqual([result.objects, result.found], [expected.size, 0]);
    assert.deepEqual(await contentOf(bucket.store), expected);
    await run({ from: bucket.store, to: back });
    assert.deepEqual(await contentOf(back), expected);
    assert.equal(await back.stat(keys.unfinishedCopy), null);
  });

  it('refuses a target that is not empty, and changes nothing in it', async () => {
    const [from, to] = [await filled(), await newStore()];
    await to.put('files/mine', Buffer.from('mine'));
    await assert.rejects(run({ from, to }), /The target is not empty: it holds the object files\/mine/);
    assert.deepEqual([...(await contentOf(to)).keys()], ['files/mine']);
  });

  it('goes on where it was interrupted, with what has changed in the source since', async () => {
    const [from, to] = [await filled(), await newStore()];
    const stop = new AbortController();
    let copied = 0;
    const onObject = () => ((copied += 1) === 20 ? stop.abort() : undefined);
    await assert.rejects(run({ from, to, signal: stop.signal, onObject }));
    assert.notEqual(await to.stat(keys.unfinishedCopy), null);
    await from.put('records/a', Buffer.from('OF a'));
    await from.put('records/aa', Buffer.from('new'));
    await from.remove(['records/b/1']);
    await assert.rejects(run({ from, to, source: 'another' }), /holds a part of a copy from the source, not from another/);
    await assert.rejects(run({ from: to, to: await newStore() }), /The source holds only a part of a copy/);
    const result = await run({ from, to });
    assert.ok(result.found >= 15, `${result.found}`);
    assert.deepEqual(await contentOf(to), await contentOf(from));
  });

  it('finds bytes that the target did not keep, of objects sent whole and in parts', async () => {
    const from = await filled();
    const flip = (body: Buffer) => Buffer.from(body.map((byte, index) => (index === 0 ? byte ^ 1 : byte)));
    const [first, second] = [await newStore(), await newStore()];
    const put = async (key: string, body: Buffer) => await first.put(key, key === 'records/b/2' ? flip(body) : body);
    await assert.rejects(run({ from, to: { ...first, put } }), /copy records\/b\/2 failed: the target has other bytes/);
    const uploadPart: ObjectStore['uploadPart'] = async (key, id, part, body) => await second.uploadPart(key, id, part, flip(body));
    await assert.rejects(run({ from, to: { ...second, uploadPart } }), /copy content\/large failed: the target has other bytes/);
  });

  it('ends with an error when something writes to the source meanwhile', async () => {
    const [from, to] = [await filled(), await newStore()];
    let isWritten = false;
    const onObject = () => {
      if (!isWritten) void from.put('a-first-key', Buffer.from('late'));
      isWritten = true;
    };
    await assert.rejects(run({ from, to, onObject }), /something wrote to one of them. Stop API and workers/);
    assert.notEqual(await to.stat(keys.unfinishedCopy), null);
  });

  it('ends with an error when the source cannot be read', async () => {
    const [from, to] = [await filled(), await newStore()];
    const get = async (key: string) => await Promise.reject(new ObjectStoreError('get', key, 'gone'));
    await assert.rejects(run({ from: { ...from, get }, to }), ObjectStoreError);
  });
});
