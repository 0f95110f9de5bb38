import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createMinioObjectStore } from '../../src/storage/minio-object-store.ts';
import { ObjectStoreError } from '../../src/storage/object-store.ts';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { temporaryKeys } from './fake-aws.ts';
import { collect, startTestBucket, type TestBucket } from './test-bucket.ts';

/** The rights that docs/configuration.md names for the prefix `team`. */
const POLICY = {
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Action: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
      Resource: ['arn:aws:s3:::nightshift/team/*'],
    },
    {
      Effect: 'Allow',
      Action: ['s3:ListBucket'],
      Resource: ['arn:aws:s3:::nightshift'],
      Condition: { StringLike: { 's3:prefix': ['team/*'] } },
    },
    { Effect: 'Allow', Action: ['s3:ListBucketMultipartUploads'], Resource: ['arn:aws:s3:::nightshift'] },
  ],
};

let bucket: TestBucket;
before(async () => (bucket = await startTestBucket({ own: true })));
after(() => bucket[Symbol.asyncDispose]());

describe('withKeyPrefix', () => {
  it('keeps two parts of one bucket apart', async () => {
    const [one, two] = [withKeyPrefix(bucket.store, 'one/'), withKeyPrefix(bucket.store, 'two/')];
    await one.put('files/a', Buffer.from('1'));
    await two.put('files/b', Buffer.from('2'));
    const keysOf = async (store: typeof one) => (await collect(store.list(''))).map(({ key }) => key);
    assert.deepEqual([await keysOf(one), await keysOf(two)], [['files/a'], ['files/b']]);
    assert.deepEqual(await keysOf(bucket.store), ['one/files/a', 'two/files/b']);
    assert.deepEqual(await collect(one.listFolders('')), ['files/']);
    assert.equal(await one.get('files/b'), null);
    await one.remove(['files/a', 'files/b']);
    assert.deepEqual(await keysOf(bucket.store), ['two/files/b']);
  });

  it('needs no right beyond its prefix', async () => {
    const keys = await temporaryKeys(bucket.minio, POLICY);
    const { endpoint } = bucket.minio;
    const whole = createMinioObjectStore({
      endpoint,
      bucket: 'nightshift',
      region: 'us-east-1',
      credentials: async () => await Promise.resolve(keys),
    });
    try {
      const store = withKeyPrefix(whole, 'team/');
      await store.ensureBucket();
      await store.ping();
      assert.equal(await store.get('none'), null);
      assert.equal(await store.stat('none'), null);
      assert.equal(await store.create('a/b', Buffer.from('1')), 'created');
      const { etag = '' } = (await store.stat('a/b')) ?? {};
      assert.equal(await store.replace('a/b', Buffer.from('2'), etag), 'replaced');
      assert.equal((await store.get('a/b'))?.body.toString(), '2');
      const uploadId = await store.startMultipart('large');
      assert.equal((await store.listMultipart('large')).length, 1);
      const first = await store.uploadPart('large', uploadId, 1, Buffer.alloc(5 * 1024 * 1024));
      const second = await store.copyPart('large', uploadId, 2, 'a/b');
      await store.completeMultipart('large', uploadId, [
        { part: 1, etag: first },
        { part: 2, etag: second },
      ]);
      await store.abortMultipart('other', await store.startMultipart('other'));
      assert.deepEqual(
        (await collect(store.list(''))).map(({ key }) => key),
        ['a/b', 'large'],
      );
      await store.remove(['a/b', 'large']);
      await assert.rejects(whole.get('elsewhere'), ObjectStoreError);
    } finally {
      whole.close();
    }
  });
});
