import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { File } from '../../src/domain/file.ts';
import { newFileId, newUploadId } from '../../src/domain/ids.ts';
import { createFileStore, type FileStore } from '../../src/storage/file-store.ts';
import { createHousekeeping, type Housekeeping } from '../../src/storage/housekeeping.ts';
import { openJoinedContent, S3_LIMITS } from '../../src/storage/joined-content.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { Cleaned, Stretch } from '../../src/storage/stretches.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { collect, newNonce, startTestBucket, type TestBucket, WHOLE } from './test-bucket.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

let bucket: TestBucket;
let store: ObjectStore;
let files: FileStore;
let housekeeping: Housekeeping;
const none: ReadonlySet<string> = new Set();

before(async () => {
  bucket = await startTestBucket();
  store = bucket.store;
  files = createFileStore({ store, nowMs: Date.now, newNonce: () => newNonce(), parts: createPartPool(4) });
});
beforeEach(async () => {
  housekeeping = createHousekeeping({ store });
  await store.remove(await keysBelow(''));
});
after(() => bucket[Symbol.asyncDispose]());

describe('Housekeeping: expired files', () => {
  it('turns them into tombstones and removes their bytes, but not those an open batch reads', async () => {
    const inAnHour = Math.floor(Date.now() / 1000) + 3600;
    const [kept, expired, read] = [await upload('a', null), await upload('a', inAnHour), await upload('b', inAnHour)];
    assert.equal((await housekeeping.removeExpiredFiles(inAnHour * 1000 - 1, none, WHOLE)).removed, 0);
    assert.equal((await housekeeping.removeExpiredFiles(inAnHour * 1000, new Set([`b/${read}`]), WHOLE)).removed, 2);
    assert.equal((await housekeeping.removeExpiredFiles(inAnHour * 1000, none, WHOLE)).removed, 0);
    assert.deepEqual(await keysBelow(''), [
      `content/a/${kept}`,
      `content/b/${read}`,
      `deleted/a/${expired}`,
      `deleted/b/${read}`,
      `files/a/${kept}`,
    ]);
    assert.notEqual(await files.list('a', { limit: 5, order: 'desc', after: expired, purpose: null }), 'unknown_cursor');
  });
});

describe('Housekeeping: one object that fails', () => {
  it('keeps no other one back, whatever is being removed, and is reported', async () => {
    const inAnHour = Math.floor(Date.now() / 1000) + 3600;
    const [first, second] = [await upload('a', inAnHour), await upload('b', inAnHour)];
    await store.put('files/b/file-torn', Buffer.from('{"expires_'));
    for (const name of ['h1', 'h2', 'h3']) await store.put(`idempotency/a/${name}`, Buffer.from('{}'));
    for (const name of ['1', '2', '3']) await store.put(`work/batch_1/${name}`, Buffer.from('x'));
    await store.put('uploads/torn', Buffer.from('{"key'));
    await store.put('uploads/whole', Buffer.from('{"key":"content/a/x","uploadId":null}'));
    const stuck = [`files/a/${first}`, 'idempotency/a/h2', 'work/batch_1/2'];
    const failures: string[] = [];
    const busy = createHousekeeping({
      store: {
        ...store,
        async remove(keys) {
          if (keys.some((key) => stuck.includes(key))) throw new Error('no sign of the server for 30000 ms');
          await store.remove(keys);
        },
      },
      onFailure: (key) => failures.push(key),
    });
    const later = Date.now() + DAY_MS + 1000;
    assert.equal((await busy.removeStaleUploads(later, DAY_MS, none, WHOLE)).removed, 1);
    assert.equal((await busy.removeExpiredFiles(later, none, WHOLE)).removed, 1);
    assert.equal((await busy.removeOldIdempotency(later, DAY_MS, WHOLE)).removed, 2);
    assert.equal((await busy.removeWork(['batch_1'], WHOLE)).removed, 2);
    assert.deepEqual(failures.sort(), [...stuck, 'files/b/file-torn', 'uploads/torn'].sort());
    assert.equal(await files.get('b', second), null);
  });
});

describe('Housekeeping: deleted files', () => {
  it('removes bytes once no open batch reads them, and the tombstone only after 30 days', async () => {
    const id = await upload('a', null);
    await store.create(`deleted/a/${id}`, Buffer.alloc(0));
    await store.remove([`files/a/${id}`]);
    const later = Date.now() + 2 * MINUTE_MS;
    const open = new Set([`a/${id}`]);
    assert.equal((await housekeeping.removeDeletedContent(later, open, WHOLE)).removed, 0);
    assert.equal((await housekeeping.removeDeletedContent(later + 40 * DAY_MS, open, WHOLE)).removed, 0);
    assert.deepEqual(await keysBelow(''), [`content/a/${id}`, `deleted/a/${id}`]);
    assert.equal((await housekeeping.removeDeletedContent(later, none, WHOLE)).removed, 1);
    assert.deepEqual(await keysBelow(''), [`deleted/a/${id}`]);
    assert.equal((await housekeeping.removeDeletedContent(later + 29 * DAY_MS, none, WHOLE)).removed, 0);
    assert.equal((await housekeeping.removeDeletedContent(later + 31 * DAY_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(await keysBelow(''), []);
  });

  it('leaves bytes that the bucket does not let go for ten minutes, and removes those of all others', async () => {
    const ids = [await upload('a', null), await upload('b', null), await upload('c', null)];
    const [locked = ''] = ids;
    for (const [at, id] of ids.entries()) {
      const tenant = ['a', 'b', 'c'][at] ?? '';
      await store.create(`deleted/${tenant}/${id}`, Buffer.alloc(0));
      await store.remove([`files/${tenant}/${id}`]);
    }
    let isLocked = true;
    let tries = 0;
    let clockMs = 0;
    const failures: string[] = [];
    const busy = createHousekeeping({
      store: {
        ...store,
        async remove(keys) {
          if (keys.includes(`content/a/${locked}`)) {
            tries += 1;
            if (isLocked) throw new Error('no sign of the server for 30000 ms');
          }
          await store.remove(keys);
        },
      },
      onFailure: (key) => failures.push(key),
      monotonicMs: () => clockMs,
    });
    const later = Date.now() + 2 * MINUTE_MS;
    assert.equal((await busy.removeDeletedContent(later, none, WHOLE)).removed, 2);
    assert.equal((await busy.removeDeletedContent(later, none, WHOLE)).removed, 0);
    assert.deepEqual(await keysBelow('content/'), [`content/a/${locked}`]);
    assert.deepEqual([tries, failures], [1, [`deleted/a/${locked}`]]);
    isLocked = false;
    clockMs += 10 * MINUTE_MS;
    assert.equal((await busy.removeDeletedContent(later, none, WHOLE)).removed, 1);
    assert.deepEqual(await keysBelow('content/'), []);
  });

  it('leaves a deletion of this minute alone, and finishes one that died half-way', async () => {
    const id = await upload('a', null);
    await store.put(`deleted/a/${id}`, Buffer.alloc(0));
    assert.equal((await housekeeping.removeDeletedContent(Date.now(), none, WHOLE)).removed, 0);
    assert.notEqual(await files.get('a', id), null);
    assert.equal((await housekeeping.removeDeletedContent(Date.now() + 2 * MINUTE_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(await keysBelow(''), [`deleted/a/${id}`]);
  });
});

describe('Housekeeping: stale uploads', () => {
  it('ends an upload whose process was killed, and removes its marker', async () => {
    const writer = await files.beginContent('a', newFileId(Date.now(), newNonce()));
    for (let i = 0; i < 9; i += 1) await writer.write(Buffer.alloc(1024 * 1024));
    const key = (await waitForUpload()).key;
    assert.equal((await store.listMultipart(key)).length, 1);
    assert.equal((await housekeeping.removeStaleUploads(Date.now(), DAY_MS, none, WHOLE)).removed, 0);
    assert.equal((await housekeeping.removeStaleUploads(Date.now() + DAY_MS + 1000, DAY_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(await store.listMultipart(key), []);
    assert.deepEqual(await keysBelow(''), []);
    await assert.rejects(writer.complete());
    await writer.abort();
  });

  it('finds an upload whose id was never noted', async () => {
    await store.startMultipart('content/a/file-1');
    await store.put('uploads/n', Buffer.from('{"key":"content/a/file-1","uploadId":null}'));
    assert.equal((await housekeeping.removeStaleUploads(Date.now() + DAY_MS + 1000, DAY_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(await store.listMultipart('content/a/file-1'), []);
  });

  it('removes bytes that never got a record, and no others', async () => {
    const ids = ['orphan', 'recorded', 'deleted', 'read'];
    for (const id of ids) {
      await store.put(`content/a/${id}`, Buffer.from('x'));
      await store.put(`uploads/${id}`, Buffer.from(JSON.stringify({ key: `content/a/${id}`, uploadId: null })));
    }
    await store.put('files/a/recorded', Buffer.from('{"expires_at":null}'));
    for (const id of ['deleted', 'read']) await store.put(`deleted/a/${id}`, Buffer.alloc(0));
    const open = new Set(['a/read']);
    assert.equal((await housekeeping.removeStaleUploads(Date.now() + DAY_MS + 1000, DAY_MS, open, WHOLE)).removed, 4);
    assert.deepEqual(await keysBelow('content/'), ['content/a/read', 'content/a/recorded']);
    assert.deepEqual(await keysBelow('uploads/'), []);
  });

  it('removes bytes of a deleted file that a paused process wrote again after the sweep had emptied it', async () => {
    const id = await upload('a', null);
    await files.delete('a', id);
    await housekeeping.removeDeletedContent(Date.now() + 2 * MINUTE_MS, none, WHOLE);
    await store.put(`content/a/${id}`, Buffer.from('x'));
    await store.put('uploads/zombie', Buffer.from(JSON.stringify({ key: `content/a/${id}`, uploadId: null })));
    await housekeeping.removeStaleUploads(Date.now() + DAY_MS + 1000, DAY_MS, none, WHOLE);
    assert.deepEqual(await keysBelow(''), [`deleted/a/${id}`]);
  });

  it('leaves an upload alone that is old and has a young marker, whatever another one left for the same object', async () => {
    const [dead, alive] = [await store.startMultipart('content/a/file-1'), await store.startMultipart('content/a/file-1')];
    await store.put('uploads/dead', Buffer.from(JSON.stringify({ key: 'content/a/file-1', uploadId: dead })));
    const deadMs = Number((await collect(store.list('uploads/dead')))[0]?.lastModified);
    // A heartbeat, by the bucket's own clock.
    const marker = Buffer.from(JSON.stringify({ key: 'content/a/file-1', uploadId: alive }));
    do await store.put('uploads/alive', marker);
    while (Number((await collect(store.list('uploads/alive')))[0]?.lastModified) <= deadMs);
    assert.equal((await housekeeping.removeStaleUploads(deadMs + DAY_MS, DAY_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(
      (await store.listMultipart('content/a/file-1')).map(({ uploadId }) => uploadId),
      [alive],
    );
    await store.abortMultipart('content/a/file-1', alive);
  });

  it('leaves the upload of a result file alone while its batch goes on with it, however old its marker is', async () => {
    const key = 'content/a/file-1';
    const parts = createPartPool(2);
    const open = async () =>
      await openJoinedContent({ store, newNonce, parts, limits: S3_LIMITS, key, stateKey: 'work/b/joined/file-1', onComplete: () => {} });
    const work = { signal: new AbortController().signal, onPart: () => {}, expectedBytes: 20 * 1024 * 1024 };
    const objects = [0, 1].map((shard) => ({ shard, key: `work/b/closed/${shard}`, bytes: 9 * 1024 * 1024 }));
    for (const object of objects) await store.put(object.key, Buffer.alloc(object.bytes));
    await (await open()).append(objects, work);
    // Of an attempt that died before its upload had an id.
    await store.put('uploads/dead', Buffer.from(JSON.stringify({ key, uploadId: null })));
    assert.equal((await housekeeping.removeStaleUploads(Date.now() + 2 * DAY_MS, DAY_MS, none, WHOLE)).removed, 1);
    const [upload] = await store.listMultipart(key);
    await (await open()).complete(objects, 18 * 1024 * 1024, work);
    assert.equal((await store.stat(key))?.size, 18 * 1024 * 1024);

    await store.remove(await keysBelow('work/'));
    assert.ok(upload !== undefined);
    assert.equal((await housekeeping.removeStaleUploads(Date.now() + 2 * DAY_MS, DAY_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(await keysBelow(''), []);
  });

  it('leaves bytes that a younger upload has just written again', async () => {
    const marker = Buffer.from('{"key":"content/a/file-1","uploadId":null}');
    await store.put('content/a/file-1', Buffer.from('x'));
    await store.put('uploads/old', marker);
    const oldMs = Number((await collect(store.list('uploads/old')))[0]?.lastModified);
    // The bucket's own clock decides which marker is the older one.
    do await store.put('uploads/young', marker);
    while (Number((await collect(store.list('uploads/young')))[0]?.lastModified) <= oldMs);
    assert.equal((await housekeeping.removeStaleUploads(oldMs + DAY_MS, DAY_MS, none, WHOLE)).removed, 1);
    assert.deepEqual(await keysBelow(''), ['content/a/file-1', 'uploads/young']);
  });
});

describe('Housekeeping: work and idempotency', () => {
  it('lists the batches that left work and removes all of one', async () => {
    await Promise.all(Array.from({ length: 1100 }, (_, i) => store.put(`work/batch_1/shard-0000/w/${i}`, Buffer.from('x'))));
    await store.put('work/batch_10/publish', Buffer.from('x'));
    assert.deepEqual(await housekeeping.listWork(), ['batch_1', 'batch_10']);
    assert.equal((await housekeeping.removeWork(['batch_1'], WHOLE)).removed, 1100);
    assert.equal((await housekeeping.removeWork(['batch_1'], WHOLE)).removed, 0);
    assert.deepEqual(await keysBelow(''), ['work/batch_10/publish']);
  });

  it('removes what a process left that ended while it looked at the store', async () => {
    await store.put('probe/n/record', Buffer.from('1'));
    assert.equal((await housekeeping.removeOldProbes(Date.now(), WHOLE)).removed, 0);
    assert.equal((await housekeeping.removeOldProbes(Date.now() + 2 * 60 * MINUTE_MS, WHOLE)).removed, 1);
  });

  it('removes old idempotency entries', async () => {
    await store.put('idempotency/a/h1', Buffer.from('{}'));
    await store.put('idempotency/b/h2', Buffer.from('{}'));
    assert.equal((await housekeeping.removeOldIdempotency(Date.now(), DAY_MS, WHOLE)).removed, 0);
    assert.equal((await housekeeping.removeOldIdempotency(Date.now() + DAY_MS + 1000, DAY_MS, WHOLE)).removed, 2);
    assert.deepEqual(await keysBelow(''), []);
  });
});

describe('Housekeeping in stretches', () => {
  const later = Date.now() + 40 * DAY_MS;
  const FILES = Buffer.from('{"expires_at":1}');
  const uploadIds = ['1', '2', '3'].map((at) => newUploadId(Date.now(), `${at}`.repeat(24)));
  /** Three things to remove of each kind, and the call that removes them. */
  const kinds: Record<string, { put: string[]; body?: Buffer; call: (stretch: Stretch) => Promise<Cleaned> }> = {
    files: {
      put: ['files/a/1', 'files/a/2', 'files/b/3'],
      body: FILES,
      call: (stretch) => housekeeping.removeExpiredFiles(later, none, stretch),
    },
    contents: {
      put: ['deleted/a/1', 'deleted/a/2', 'deleted/b/3'],
      call: (stretch) => housekeeping.removeDeletedContent(later, none, stretch),
    },
    uploads: {
      put: ['uploads/1', 'uploads/2', 'uploads/3'],
      body: Buffer.from('{"key":"content/a/x","uploadId":null}'),
      call: (stretch) => housekeeping.removeStaleUploads(later, DAY_MS, none, stretch),
    },
    work: {
      put: ['work/1/x', 'work/2/x', 'work/3/x'],
      call: (stretch) => housekeeping.removeWork(['1', '2', '3'], stretch),
    },
  };
  for (const [kind, { put, body = Buffer.from('x'), call }] of Object.entries(kinds)) {
    it(`stops when its time is up, and the next call removes the rest: ${kind}`, async () => {
      for (const key of put) await store.put(key, body);
      let [last, looks] = ['', 0];
      const stretch = (most: number): Stretch => ({
        ...WHOLE,
        after: last,
        isOver: () => ++looks > most,
        reached: (key) => void (last = key),
      });
      const first = await call(stretch(0));
      assert.equal(first.isDone, false);
      assert.ok(last !== '' && last < (put.at(-1) ?? ''), `it reached ${last}`);
      const second = await call(stretch(1_000));
      assert.deepEqual(second.isDone, true);
      assert.equal((await call({ ...WHOLE })).isDone, true);
      assert.deepEqual(
        (await keysBelow('')).filter((key) => put.includes(key)),
        [],
      );
    });
  }

  it('lists after its position only: resumable uploads and idempotency', async () => {
    const parts = uploadIds.map((id) => `resumable/a/${id}/parts/1`).sort();
    const entries = ['idempotency/a/1', 'idempotency/a/2'];
    for (const key of [...parts, ...entries]) await store.put(key, Buffer.from('x'));
    const [first = '', ...others] = parts;
    assert.deepEqual(await housekeeping.removeExpiredUploads(later, { ...WHOLE, after: first }), { removed: others.length, isDone: true });
    assert.deepEqual(await housekeeping.removeOldIdempotency(later, DAY_MS, { ...WHOLE, after: entries[0] ?? '' }), {
      removed: 1,
      isDone: true,
    });
    assert.deepEqual(await keysBelow(''), [entries[0], first]);
  });

  it('removes a batch of many pieces bit by bit, and looks at another one first when it cannot', async () => {
    await Promise.all(Array.from({ length: 2_100 }, (_, i) => store.put(`work/1/${String(i).padStart(4, '0')}`, Buffer.from('x'))));
    const reached: string[] = [];
    const hurried: Stretch = { ...WHOLE, isOver: () => true, reached: (key) => void reached.push(key) };
    assert.deepEqual(await housekeeping.removeWork(['1'], hurried), { removed: 1_000, isDone: false });
    assert.deepEqual(reached, []);
    const stuck = createHousekeeping({ store: { ...store, remove: async () => await Promise.reject(new Error('planted')) } });
    assert.deepEqual(await stuck.removeWork(['1'], hurried), { removed: 0, isDone: false });
    assert.deepEqual(reached, ['1']);
    assert.deepEqual(await housekeeping.removeWork(['1'], WHOLE), { removed: 1_100, isDone: true });
  });
});

async function keysBelow(prefix: string): Promise<string[]> {
  return (await collect(store.list(prefix))).map((object) => object.key);
}

async function upload(tenant: string, expiresAt: number | null): Promise<string> {
  const file: File = {
    id: newFileId(Date.now(), newNonce()),
    object: 'file',
    bytes: 1,
    created_at: 1,
    expires_at: expiresAt,
    filename: 'f',
    purpose: 'batch',
    status: 'processed',
    status_details: null,
  };
  const writer = await files.beginContent(tenant, file.id);
  await writer.write(Buffer.from('x'));
  await writer.complete();
  await files.createRecord(tenant, file);
  return file.id;
}

/** What the marker of the only upload says, once it has its id. */
async function waitForUpload(): Promise<{ key: string; uploadId: string }> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    for (const key of await keysBelow('uploads/')) {
      const marker = JSON.parse((await store.get(key))?.body.toString() ?? '{}');
      if (typeof marker.uploadId === 'string') return marker;
    }
    if (performance.now() > deadline) assert.fail('no upload');
  }
}
