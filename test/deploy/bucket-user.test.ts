import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { AssumeRoleProvider } from 'minio/dist/esm/AssumeRoleProvider.mjs';
import { Client } from 'minio';
import type { S3Credentials } from '../../src/storage/aws-credentials.ts';
import { createMinioObjectStore } from '../../src/storage/minio-object-store.ts';
import { findStoreFault } from '../../src/storage/store-fault.ts';
import { startMinio, type TestMinio } from '../helpers/servers.ts';

const run = promisify(execFile);
let folder: string;
before(async () => void (folder = await mkdtemp(join(tmpdir(), 'nightshift-bucket-user-'))));
after(async () => await rm(folder, { recursive: true, force: true }));

/** Runs a script of deploy/minio with an `mc` that notes how it is called, and answers as a server with this policy attached. */
async function runScript(
  script: string,
  args: string[],
  attached: string,
  listed = '',
): Promise<{ calls: string[]; code: number; stderr: string }> {
  const bin = await mkdtemp(join(folder, 'bin-'));
  const log = join(bin, 'calls');
  await writeFile(
    join(bin, 'mc'),
    `#!/bin/sh\necho "$*" >> "${log}"\ncase "$*" in\n  *"policy entities"*) echo "${attached}" ;;\n  "ls "*) printf '%s' "${listed}" ;;\nesac\n`,
  );
  await chmod(join(bin, 'mc'), 0o755);
  const env = {
    PATH: `${bin}:/usr/bin:/bin`,
    MINIO_ROOT_USER: 'root',
    MINIO_ROOT_PASSWORD: 'root-secret',
    NIGHTSHIFT_S3_ENDPOINT: 'http://minio:9000',
    NIGHTSHIFT_S3_BUCKET: 'team-a',
    NIGHTSHIFT_S3_REGION: 'eu-1',
    NIGHTSHIFT_S3_ACCESS_KEY: 'app',
    NIGHTSHIFT_S3_SECRET_KEY: 'app-secret',
  };
  const result = await run('sh', [`deploy/minio/${script}`, ...args], { env }).then(
    () => ({ code: 0, stderr: '' }),
    (error: { code: number; stderr: string }) => error,
  );
  const calls = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n');
  return { calls, code: result.code, stderr: result.stderr };
}

describe('deploy/minio/make-bucket-user', () => {
  it('makes bucket, policy and user', async () => {
    const { calls, code } = await runScript('make-bucket-user', [], '');
    assert.equal(code, 0);
    assert.deepEqual(calls, [
      'alias set store http://minio:9000 root root-secret',
      'mb --ignore-existing --region eu-1 store/team-a',
      'admin policy create store nightshift-bucket /tmp/bucket-policy.json',
      'admin user add store app app-secret',
      'admin policy entities store --user app',
      'admin policy attach store nightshift-bucket --user app',
    ]);
    const policy: { Statement: { Resource: string[] }[] } = JSON.parse(await readFile('/tmp/bucket-policy.json', 'utf8'));
    assert.deepEqual(
      policy.Statement.map(({ Resource }) => Resource),
      [['arn:aws:s3:::team-a'], ['arn:aws:s3:::team-a/*']],
    );
  });

  it('attaches no policy that is attached already', async () => {
    const { calls } = await runScript('make-bucket-user', [], 'Policies: nightshift-bucket');
    assert.ok(!calls.some((call) => call.includes('attach')));
  });
});

describe('deploy/minio/copy-bucket', () => {
  it('copies the bucket to the folder of the backup', async () => {
    assert.equal((await runScript('copy-bucket', ['backup'], '')).calls.at(-1), 'mirror --overwrite --remove store/team-a /backup/team-a');
  });

  it('refuses to restore without a backup, and says how it is called', async () => {
    const { code, stderr } = await runScript('copy-bucket', ['restore'], '');
    assert.equal(code, 1);
    assert.match(stderr, /There is no folder \/backup\/team-a/);
    assert.match((await runScript('copy-bucket', [], '')).stderr, /Usage: copy-bucket backup\|restore/);
  });
});

describe('deploy/minio/bucket-policy.json', () => {
  let minio: TestMinio;
  let limited: Client;
  let limitedKeys: S3Credentials;

  before(async () => {
    minio = await startMinio();
    const { accessKey, secretKey, endpoint, address } = minio;
    const [endPoint = '', port] = address.split(':');
    const root = new Client({ endPoint, port: Number(port), useSSL: false, accessKey, secretKey, region: 'us-east-1' });
    await root.makeBucket('team-a');
    await root.makeBucket('team-b');
    await root.putObject('team-b', 'key', 'theirs');
    const policy = (await readFile('deploy/minio/bucket-policy.json', 'utf8')).replaceAll('BUCKET', 'team-a');
    const role = new AssumeRoleProvider({ stsEndpoint: endpoint, accessKey, secretKey, policy, action: 'AssumeRole' });
    const credentials = await role.getCredentials();
    limitedKeys = {
      accessKey: credentials.getAccessKey(),
      secretKey: credentials.getSecretKey(),
      sessionToken: credentials.getSessionToken() ?? '',
    };
    limited = new Client({
      endPoint,
      port: Number(port),
      useSSL: false,
      ...limitedKeys,
      sessionToken: limitedKeys.sessionToken ?? '',
      region: 'us-east-1',
    });
  });
  after(async () => await minio[Symbol.asyncDispose]());

  it('allows everything that Nightshift does with its bucket', async () => {
    assert.equal(await limited.bucketExists('team-a'), true);
    await limited.putObject('team-a', 'folder/key', 'content');
    assert.equal((await limited.statObject('team-a', 'folder/key')).size, 7);
    (await limited.getObject('team-a', 'folder/key')).resume();
    assert.equal((await limited.listObjectsV2('team-a', '', true).toArray()).length, 1);
    const upload = await limited.initiateNewMultipartUpload('team-a', 'large', {});
    await limited.listIncompleteUploads('team-a', 'large', true).toArray();
    await limited.abortMultipartUpload('team-a', 'large', upload);
    await limited.removeObjects('team-a', ['folder/key']);
    const access = { credentials: async () => await Promise.resolve(limitedKeys) };
    const store = createMinioObjectStore({ endpoint: minio.endpoint, bucket: 'team-a', region: 'us-east-1', ...access });
    assert.equal(await findStoreFault(store, 'nonce'), null);
    store.close();
  });

  it('allows nothing else', async () => {
    await assert.rejects(async () => await limited.putObject('team-b', 'key', 'ours'), /Access Denied/);
    await assert.rejects(async () => await limited.getObject('team-b', 'key'), /Access Denied/);
    await assert.rejects(async () => await limited.listObjectsV2('team-b').toArray(), /Access Denied/);
    await assert.rejects(async () => await limited.makeBucket('team-c'), /Access Denied/);
    await assert.rejects(async () => await limited.removeBucket('team-a'), /Access Denied/);
    await assert.rejects(async () => await limited.setBucketPolicy('team-a', ''), /Access Denied/);
  });
});
