import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { ObjectStoreError, type ObjectStore } from '../../src/storage/object-store.ts';
import { collect, newNonce } from './test-bucket.ts';

/** What every `ObjectStore` does. `connect` opens the bucket of the test, or another one by its name. */
export function contract(connect: (bucket?: string) => ObjectStore): void {
  let store: ObjectStore;
  before(() => (store = connect()));

  async function opened(key: string, byteRange?: { start: number; end: number }) {
    const found = await store.open(key, byteRange);
    assert.ok(found);
    return found;
  }

  describe('one object', () => {
    it('gives back the bytes that were put, and the last ones put', async () => {
      await store.put('one/a', Buffer.from('first'));
      await store.put('one/a', Buffer.from([0, 255, 10, 13]));
      const found = await store.get('one/a');
      assert.deepEqual(found?.body, Buffer.from([0, 255, 10, 13]));
      assert.deepEqual(await store.stat('one/a'), { size: 4, etag: found?.etag });
    });

    it('keeps an empty object', async () => {
      await store.put('one/empty', Buffer.alloc(0));
      assert.equal((await store.get('one/empty'))?.body.length, 0);
      assert.equal((await store.stat('one/empty'))?.size, 0);
      assert.deepEqual(await collect((await opened('one/empty')).body), []);
    });

    it('keeps a body of 20 MB in one piece', async () => {
      const body = Buffer.alloc(20_000_000, 'abc');
      await store.put('one/large', body);
      assert.ok((await store.get('one/large'))?.body.equals(body));
      assert.ok(Buffer.concat(await collect<Buffer>((await opened('one/large')).body)).equals(body));
    });

    it('answers null for what does not exist', async () => {
      assert.equal(await store.get('one/none'), null);
      assert.equal(await store.stat('one/none'), null);
      assert.equal(await store.open('one/none'), null);
      assert.equal(await store.get('one/none', { start: 0, end: 5 }), null);
    });

    it('reads ranges, both ends inclusive, and knows the whole size', async () => {
      await store.put('one/range', Buffer.from('0123456789'));
      assert.equal((await store.get('one/range', { start: 2, end: 4 }))?.body.toString(), '234');
      assert.equal((await store.get('one/range', { start: 0, end: 0 }))?.body.toString(), '0');
      const { body, size } = await opened('one/range', { start: 8, end: 100 });
      assert.equal(Buffer.concat(await collect<Buffer>(body)).toString(), '89');
      assert.equal(size, 10);
    });

    it('refuses a range that begins after the end', async () => {
      await store.put('one/short', Buffer.from('0123'));
      await assert.rejects(store.get('one/short', { start: 4, end: 5 }), ObjectStoreError);
      await assert.rejects(store.open('one/short', { start: 4, end: 5 }), ObjectStoreError);
    });

    it('takes keys with characters that URLs and XML know', async () => {
      const names = ['a b', 'ü', '+', '%41', 'q?x=1', 'h#1', 'a&b', '<x>', "it's", '"', '(1)', 'k=v;w', '日本'];
      for (const name of names) {
        await store.put(`weird/${name}`, Buffer.from(name));
        assert.equal((await store.get(`weird/${name}`))?.body.toString(), name);
      }
      const listed = (await collect(store.list('weird/'))).map((object) => object.key);
      assert.deepEqual(new Set(listed), new Set(names.map((name) => `weird/${name}`)));
      await store.remove(listed);
      assert.deepEqual(await collect(store.list('weird/')), []);
    });
  });

  describe('conditional writes', () => {
    it('creates once', async () => {
      assert.equal(await store.create('cas/new', Buffer.from('1')), 'created');
      assert.equal(await store.create('cas/new', Buffer.from('2')), 'exists');
      assert.equal(await store.create('cas/new', Buffer.from('1')), 'exists');
      assert.equal((await store.get('cas/new'))?.body.toString(), '1');
    });

    it('lets one of 20 creators win', async () => {
      const results = await Promise.all(range(20).map((i) => store.create('cas/race', Buffer.from(`${i}`))));
      assert.equal(results.filter((result) => result === 'created').length, 1);
      assert.equal((await store.get('cas/race'))?.body.toString(), `${results.indexOf('created')}`);
    });

    it('lets one of 20 replacements of the same object win', async () => {
      await store.put('cas/replace', Buffer.from('start'));
      const etag = (await store.get('cas/replace'))?.etag ?? '';
      const results = await Promise.all(range(20).map((i) => store.replace('cas/replace', Buffer.from(`${i}`), etag)));
      assert.equal(results.filter((result) => result === 'replaced').length, 1);
      assert.equal((await store.get('cas/replace'))?.body.toString(), `${results.indexOf('replaced')}`);
    });

    it('does not replace what is not there', async () => {
      assert.equal(await store.replace('cas/none', Buffer.from('x'), '0123456789abcdef0123456789abcdef'), 'changed');
      assert.equal(await store.get('cas/none'), null);
    });
  });

  describe('lists', () => {
    const names = range(25).map((i) => `list/keys/${String(i).padStart(3, '0')}`);
    before(async () => {
      await Promise.all([...names, 'list/keysake', 'list/a/1', 'list/b/1/2', 'list/b/3'].map((key) => store.put(key, Buffer.from(key))));
    });

    it('lists in byte order what is below a prefix, with size and time', async () => {
      const objects = await collect(store.list('list/keys/'));
      assert.deepEqual(
        objects.map((object) => object.key),
        names,
      );
      assert.equal(objects[0]?.size, 13);
      assert.ok(Math.abs(Date.now() - Number(objects[0]?.lastModified)) < 60_000);
    });

    it('begins after a key, be it there or not', async () => {
      const keysAfter = async (startAfter: string) => (await collect(store.list('list/keys/', { startAfter }))).map((object) => object.key);
      assert.deepEqual(await keysAfter('list/keys/009'), names.slice(10));
      assert.deepEqual(await keysAfter('list/keys/009x'), names.slice(10));
      assert.deepEqual(await keysAfter('list/keys/'), names);
      assert.deepEqual(await keysAfter('list/keys/024'), []);
    });

    it('keeps to the order of UTF-8 bytes, in which a prefix has an end', async () => {
      const ordered = ['\u007f', 'é', '\ud7ff', '\ue000', '\uffee', '😀'];
      await Promise.all(ordered.map((name) => store.put(`order/${name}`, Buffer.alloc(0))));
      const listed = async (prefix: string) => (await collect(store.list(prefix))).map(({ key }) => key.slice('order/'.length));
      assert.deepEqual(await listed('order/'), ordered);
      assert.deepEqual(await listed('order/\ud7ff'), ['\ud7ff']);
      assert.deepEqual(await listed('order/😀'), ['😀']);
    });

    it('goes on over small pages without gap or repeat', async () => {
      const objects = await collect(store.list('list/keys/', { startAfter: 'list/keys/000', pageSize: 3 }));
      assert.deepEqual(
        objects.map((object) => object.key),
        names.slice(1),
      );
    });

    it('names the folders below a prefix', async () => {
      assert.deepEqual(await collect(store.listFolders('list/')), ['a/', 'b/', 'keys/']);
      assert.deepEqual(await collect(store.listFolders('nothing/')), []);
    });

    it('removes what is there and does not mind what is not', async () => {
      await store.put('gone/1', Buffer.from('1'));
      await store.remove(['gone/1', 'gone/2']);
      await store.remove(['gone/1']);
      await store.remove([]);
      assert.deepEqual(await collect(store.list('gone/')), []);
    });
  });

  describe('multipart', () => {
    const first = Buffer.alloc(5 * 1024 * 1024, 'a');

    it('makes an object out of parts sent at the same time', async () => {
      const key = `multi/${newNonce()}`;
      const id = await store.startMultipart(key);
      const bodies = [first, Buffer.alloc(first.length, 'b'), Buffer.from('end')];
      const etags = await Promise.all(bodies.map((body, i) => store.uploadPart(key, id, i + 1, body)));
      assert.equal(await store.get(key), null);
      await store.completeMultipart(
        key,
        id,
        etags.map((etag, i) => ({ part: i + 1, etag })),
      );
      assert.ok((await store.get(key))?.body.equals(Buffer.concat(bodies)));
      assert.deepEqual(await store.listMultipart(key), []);
    });

    it('makes a part out of another object, whatever its key and however it was made', async () => {
      const key = `multi/${newNonce()}`;
      const [plain, parted] = [`from/a+b c%/ü"&?#/${newNonce()}`, `from/${newNonce()}`];
      await store.put(plain, first);
      const from = await store.startMultipart(parted);
      await store.completeMultipart(parted, from, [{ part: 1, etag: await store.uploadPart(parted, from, 1, Buffer.from('end')) }]);
      const id = await store.startMultipart(key);
      await assert.rejects(store.copyPart(key, id, 1, `from/${newNonce()}`), ObjectStoreError);
      const etags = [await store.copyPart(key, id, 1, plain), await store.copyPart(key, id, 2, parted)];
      await store.completeMultipart(
        key,
        id,
        etags.map((etag, i) => ({ part: i + 1, etag })),
      );
      assert.ok((await store.get(key))?.body.equals(Buffer.concat([first, Buffer.from('end')])));
    });

    it('makes a part out of a range of an object, which may be removed before the upload is completed', async () => {
      const key = `multi/${newNonce()}`;
      const source = `from/${newNonce()}`;
      const bytes = Buffer.from(Array.from({ length: first.length + 1000 }, (_, index) => index % 251));
      await store.put(source, bytes);
      const id = await store.startMultipart(key);
      const head = await store.copyPart(key, id, 1, source, { start: 10, end: first.length + 9 });
      const tail = await store.copyPart(key, id, 2, source, { start: first.length + 990, end: first.length + 999 });
      await assert.rejects(store.copyPart(key, id, 3, source, { start: 0, end: bytes.length }), ObjectStoreError);
      await store.remove([source]);
      await store.completeMultipart(key, id, [
        { part: 1, etag: head },
        { part: 2, etag: tail },
      ]);
      const expected = Buffer.concat([bytes.subarray(10, first.length + 10), bytes.subarray(first.length + 990)]);
      assert.ok((await store.get(key))?.body.equals(expected));
      const seam = { start: first.length - 3, end: first.length + 2 };
      assert.deepEqual((await store.get(key, seam))?.body, expected.subarray(seam.start, seam.end + 1));
      assert.deepEqual(Buffer.concat(await collect<Buffer>((await opened(key, seam)).body)), expected.subarray(seam.start, seam.end + 1));
    });

    it('lists the parts of an upload, the last one sent for each number, until it has ended', async () => {
      const key = `multi/${newNonce()}`;
      const id = await store.startMultipart(key);
      assert.deepEqual(await store.listParts(key, id), []);
      await store.uploadPart(key, id, 2, Buffer.from('end'));
      await store.uploadPart(key, id, 1, Buffer.from('past'));
      const parts = await Promise.all([store.uploadPart(key, id, 1, first), store.uploadPart(key, id, 2, Buffer.from('end'))]);
      assert.deepEqual(
        await store.listParts(key, id),
        parts.map((etag, index) => ({ part: index + 1, etag, size: index === 0 ? first.length : 3 })),
      );
      await store.abortMultipart(key, id);
      assert.equal(await store.listParts(key, id), null);
      assert.equal(await store.listParts(key, 'bm8tc3VjaC11cGxvYWQ='), null);
    });

    it('refuses parts that are unknown, changed or too small, and takes nothing for an upload that has ended', async () => {
      const key = `multi/${newNonce()}`;
      const id = await store.startMultipart(key);
      const [small, last] = [
        await store.uploadPart(key, id, 1, Buffer.from('small')),
        await store.uploadPart(key, id, 2, Buffer.from('end')),
      ];
      const refused: [etag: string, etag: string][] = [
        [small, last],
        ['0'.repeat(32), last],
      ];
      for (const [one, two] of refused) {
        const parts = [
          { part: 1, etag: one },
          { part: 2, etag: two },
        ];
        await assert.rejects(store.completeMultipart(key, id, parts), ObjectStoreError);
      }
      assert.equal(await store.get(key), null);
      await store.completeMultipart(key, id, [{ part: 2, etag: last }]);
      // Some stores answer a repeated completion as they did the first one.
      await assert.rejects(store.uploadPart(key, id, 3, Buffer.from('late')), ObjectStoreError);
      assert.equal((await store.get(key))?.body.toString(), 'end');
    });

    it('finds uploads of a key, ends them, and does not mind ending them again', async () => {
      const key = `multi/${newNonce()}`;
      const id = await store.startMultipart(key);
      await store.uploadPart(key, id, 1, first);
      assert.deepEqual(
        (await store.listMultipart(key)).map((upload) => upload.uploadId),
        [id],
      );
      await store.abortMultipart(key, id);
      await store.abortMultipart(key, id);
      assert.deepEqual(await store.listMultipart(key), []);
      assert.equal(await store.get(key), null);
    });
  });

  describe('the bucket', () => {
    it('answers a ping, and makes a bucket once', async () => {
      await store.ping();
      await store.ensureBucket();
      const other = connect(`later-${newNonce()}`);
      await assert.rejects(other.ping(), ObjectStoreError);
      await other.ensureBucket();
      await other.ping();
    });

    it('calls a missing bucket an error, not an absent object', async () => {
      const other = connect('never-made');
      await assert.rejects(other.get('x'), ObjectStoreError);
      await assert.rejects(other.open('x'), ObjectStoreError);
      await assert.rejects(other.stat('x'), ObjectStoreError);
      await assert.rejects(other.create('x', Buffer.from('1')), ObjectStoreError);
      await assert.rejects(collect(other.list('x')), ObjectStoreError);
      await assert.rejects(other.remove(['x', 'y']), ObjectStoreError);
    });
  });
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
