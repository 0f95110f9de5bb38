import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { ObjectStoreError, type ObjectStore } from '../../src/storage/object-store.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;

before(async () => (bucket = await startTestBucket()));
after(() => bucket[Symbol.asyncDispose]());

describe('an ObjectStore', () => contract(''));
describe('an ObjectStore with a key prefix', () => contract('shared/nightshift/'));

/** What every `ObjectStore` does. */
function contract(prefix: string): void {
  let store: ObjectStore;
  before(() => (store = connect()));

  function connect(options: Parameters<TestBucket['connect']>[0] = {}): ObjectStore {
    const whole = bucket.connect(options);
    return prefix === '' ? whole : withKeyPrefix(whole, prefix);
  }

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
      const other = connect({ bucket: `${bucket.name}-later-${String(prefix.length)}` });
      await assert.rejects(other.ping(), ObjectStoreError);
      await other.ensureBucket();
      await other.ping();
    });

    it('calls a missing bucket an error, not an absent object', async () => {
      const other = connect({ bucket: 'never-made' });
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
