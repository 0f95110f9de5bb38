import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type AwsSource, createAwsCredentials, type S3Credentials } from '../../src/storage/aws-credentials.ts';
import { createMinioObjectStore } from '../../src/storage/minio-object-store.ts';
import { type FakeAws, startFakeAws, temporaryKeys, TOKENS } from './fake-aws.ts';
import { collect, newNonce, startTestBucket, type TestBucket } from './test-bucket.ts';

let bucket: TestBucket;
let aws: FakeAws;
let folder: string;

before(async () => {
  [bucket, folder] = await Promise.all([startTestBucket(), mkdtemp(join(tmpdir(), 'nightshift-aws-'))]);
  aws = await startFakeAws(bucket.minio);
});
after(async () => {
  await aws[Symbol.asyncDispose]();
  await bucket[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  aws.calls.length = 0;
  aws.fails = null;
  aws.expiresAtMs = Date.now() + 3_600_000;
});

async function tokenFile(token: string): Promise<string> {
  const path = join(folder, newNonce());
  await writeFile(path, `${token}\n`);
  return path;
}

const container = (): AwsSource => ({ kind: 'container', url: `${aws.endpoint}/container`, token: TOKENS.container, tokenFile: null });

/** Sends, reads, lists and removes, by every way that a store has to its server. */
async function useStore(credentials: () => Promise<S3Credentials>): Promise<void> {
  const { endpoint } = bucket.minio;
  const store = createMinioObjectStore({ endpoint, bucket: bucket.name, region: 'us-east-1', credentials });
  try {
    const [key, large] = [`aws/${newNonce()}`, Buffer.alloc(6 * 1024 * 1024, 'x')];
    assert.equal(await store.create(key, Buffer.from('small')), 'created');
    assert.equal((await store.get(key))?.body.toString(), 'small');
    const opened = await store.open(key);
    assert.equal(Buffer.concat(await collect<Buffer>(opened?.body ?? assert.fail())).toString(), 'small');
    const upload = await store.startMultipart(`${key}-large`);
    const parts = [{ part: 1, etag: await store.uploadPart(`${key}-large`, upload, 1, large) }];
    await store.completeMultipart(`${key}-large`, upload, parts);
    assert.equal((await store.stat(`${key}-large`))?.size, large.length);
    assert.equal((await collect(store.list(key))).length, 2);
    await store.remove([key, `${key}-large`]);
    await store.ping();
  } finally {
    store.close();
  }
}

describe('createAwsCredentials', () => {
  it('gets the keys of the role of an instance, by IMDSv2', async () => {
    await useStore(createAwsCredentials({ kind: 'instance', endpoint: aws.endpoint, isNamed: true }, { nowMs: Date.now }));
    assert.equal(aws.calls.length, 3, 'one fetch serves all calls');
  });

  it('gets the keys of the role of a container, with a token of a variable or of a file', async () => {
    await useStore(createAwsCredentials(container(), { nowMs: Date.now }));
    const file = await tokenFile(TOKENS.container);
    await useStore(
      createAwsCredentials({ kind: 'container', url: `${aws.endpoint}/container`, token: null, tokenFile: file }, { nowMs: Date.now }),
    );
  });

  it('gets the keys of the role of a Kubernetes service account, from STS', async () => {
    const source = {
      kind: 'web identity',
      roleArn: 'arn:aws:iam::1:role/n',
      sessionName: 's',
      stsEndpoint: `${aws.endpoint}/sts/`,
    } as const;
    const identity = await tokenFile(TOKENS.identity);
    await useStore(createAwsCredentials({ ...source, tokenFile: identity }, { nowMs: Date.now }));
    const refused = createAwsCredentials({ ...source, tokenFile: await tokenFile('another') }, { nowMs: Date.now });
    await assert.rejects(refused(), /answered 403 when asked for AWS credentials \(not for you\)/);
  });

  it('takes temporary keys as they are given', async () => {
    const keys = await temporaryKeys(bucket.minio);
    await useStore(createAwsCredentials({ kind: 'keys', ...keys }, { nowMs: Date.now }));
    const withoutToken = createAwsCredentials({ kind: 'keys', ...keys, sessionToken: null }, { nowMs: Date.now });
    await assert.rejects(useStore(withoutToken), 'MinIO did not ask for the session token');
  });

  it('shares one fetch between callers at the same time, and fetches again five minutes before the end', async () => {
    let now = Date.now();
    const credentials = createAwsCredentials(container(), { nowMs: () => now });
    const first = await Promise.all([credentials(), credentials(), credentials()]);
    assert.equal(aws.calls.length, 1);
    assert.equal(new Set(first.map(({ accessKey }) => accessKey)).size, 1);
    now = aws.expiresAtMs - 5 * 60_000 - 1;
    assert.equal((await credentials()).accessKey, first[0].accessKey);
    now += 1;
    aws.expiresAtMs += 3_600_000;
    const [later] = await Promise.all([credentials(), credentials()]);
    assert.notEqual(later.accessKey, first[0].accessKey);
    assert.equal(aws.calls.length, 2);
  });

  it('uses keys to their end while new ones cannot be had, and fails with the reason after that', async () => {
    let now = Date.now();
    const credentials = createAwsCredentials(container(), { nowMs: () => now });
    const { accessKey } = await credentials();
    now = aws.expiresAtMs - 60_000;
    aws.fails = { status: 503, body: '' };
    assert.equal((await credentials()).accessKey, accessKey);
    const asked = aws.calls.length;
    assert.equal((await credentials()).accessKey, accessKey);
    assert.equal(aws.calls.length, asked, 'the source is not asked for every request');
    now = aws.expiresAtMs;
    await assert.rejects(credentials(), /answered 503 when asked for AWS credentials/);
    aws.fails = null;
    aws.expiresAtMs += 3_600_000;
    assert.notEqual((await credentials()).accessKey, accessKey);
  });

  it('refuses an answer without keys', async () => {
    for (const body of ['{"Code":"Failed"}', '{"AccessKeyId":"a","SecretAccessKey":"s","Token":"t","Expiration":"soon"}']) {
      aws.fails = { status: 200, body };
      await assert.rejects(createAwsCredentials(container(), { nowMs: Date.now })(), /answered without an access key/);
    }
  });
});
