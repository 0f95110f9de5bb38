import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { createResultCopies } from '../../src/storage/own-bucket.ts';
import { withKeyPrefix } from '../../src/storage/prefixed-object-store.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

const LARGE = Buffer.alloc(20 * 1024 * 1024, 'answers\n');
const WORK = { signal: new AbortController().signal, onPart: () => undefined };

let bucket: TestBucket;
let own: ObjectStore;
before(async () => {
  bucket = await startTestBucket();
  const other = bucket.connect({ bucket: `own-${newNonce()}` });
  await other.ensureBucket();
  own = withKeyPrefix(other, 'results/');
});
after(async () => await bucket[Symbol.asyncDispose]());

/** A result file in our bucket; answers what names it. */
async function resultFile(body: Buffer, role: 'output' | 'error' = 'output') {
  const [batchId, fileId] = [`batch_${newNonce()}`, `file-${newNonce()}`];
  await bucket.store.put(`content/t/${fileId}`, body);
  return { tenant: 't', batchId, fileId, role };
}

const copiesTo = (to: ObjectStore | null) =>
  createResultCopies({ store: bucket.store, bucketOf: () => (to === null ? null : { store: to, uri: 's3://own/results/' }) });

describe('createResultCopies', () => {
  it('copies output and error file under the id of the batch, and nothing where the tenant has no bucket', async () => {
    const [output, error] = [await resultFile(Buffer.from('{"a":1}\n')), await resultFile(Buffer.from('{"b":1}\n'), 'error')];
    await copiesTo(null).copy(output, WORK);
    assert.equal(await own.get(`${output.batchId}/output.jsonl`), null);
    for (const file of [output, error]) await copiesTo(own).copy(file, WORK);
    assert.equal(String((await own.get(`${output.batchId}/output.jsonl`))?.body), '{"a":1}\n');
    assert.equal(String((await own.get(`${error.batchId}/errors.jsonl`))?.body), '{"b":1}\n');
  });

  it('writes an object once, so that one that the tenant has deleted stays deleted', async () => {
    const file = await resultFile(Buffer.from('{}\n'));
    await copiesTo(own).copy(file, WORK);
    await own.remove([`${file.batchId}/output.jsonl`]);
    await copiesTo(own).copy(file, WORK);
    assert.equal(await own.get(`${file.batchId}/output.jsonl`), null);
  });

  it('sends the parts that are missing when an attempt died, and leaves no half upload', async () => {
    const file = await resultFile(LARGE);
    const key = `${file.batchId}/output.jsonl`;
    let sent = 0;
    const counting: ObjectStore = { ...own, uploadPart: async (...given) => ((sent += 1), await own.uploadPart(...given)) };
    const dying: ObjectStore = {
      ...counting,
      uploadPart: async (...given) => (given[2] > 2 ? await Promise.reject(new Error('killed')) : await counting.uploadPart(...given)),
    };
    await assert.rejects(copiesTo(dying).copy(file, WORK), /killed/);
    assert.equal(await own.stat(key), null);
    // It died before it could note what it had begun.
    await own.startMultipart(key);
    await copiesTo(counting).copy(file, WORK);
    assert.equal(sent, 3);
    assert.ok((await own.get(key))?.body.equals(LARGE));
    assert.deepEqual(await own.listMultipart(key), []);
  });

  it('ends well in both of two attempts at the same time', async () => {
    const file = await resultFile(LARGE);
    await Promise.all([copiesTo(own).copy(file, WORK), copiesTo(own).copy(file, WORK)]);
    assert.ok((await own.get(`${file.batchId}/output.jsonl`))?.body.equals(LARGE));
    assert.deepEqual(await own.listMultipart(`${file.batchId}/output.jsonl`), []);
  });

  it('begins anew when the upload was removed from the bucket', async () => {
    const file = await resultFile(LARGE);
    const key = `${file.batchId}/output.jsonl`;
    const dying: ObjectStore = { ...own, completeMultipart: async () => await Promise.reject(new Error('killed')) };
    await assert.rejects(copiesTo(dying).copy(file, WORK), /killed/);
    for (const { uploadId } of await own.listMultipart(key)) await own.abortMultipart(key, uploadId);
    await copiesTo(own).copy(file, WORK);
    assert.ok((await own.get(key))?.body.equals(LARGE));
    assert.deepEqual(
      (await collect(own.list(`${file.batchId}/`))).map(({ size }) => size),
      [LARGE.length],
    );
  });
});
