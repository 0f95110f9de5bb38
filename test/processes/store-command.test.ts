import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { prepareStore } from '../../src/processes/open-store.ts';
import { createEmbeddedObjectStore } from '../../src/storage/embedded/embedded-object-store.ts';
import { keys } from '../../src/storage/keys.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { rememberStore } from '../../src/config/store-settings.ts';
import { testEnvironment } from '../helpers/environment.ts';
import { freePort } from '../helpers/servers.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';

const BIN = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));

let bucket: TestBucket;
let data: string;
let store: ObjectStore;
let apiPort: number;

before(async () => {
  [bucket, data, apiPort] = await Promise.all([startTestBucket(), mkdtemp(join(tmpdir(), 'nightshift-store-')), freePort()]);
  store = createEmbeddedObjectStore({ folder: join(data, 'store') });
  await store.ensureBucket();
  await store.put('files/t/1', Buffer.from('record'));
  rememberStore(data, 'embedded');
});
after(async () => {
  store.close();
  await bucket[Symbol.asyncDispose]();
  await rm(data, { recursive: true, force: true, maxRetries: 5 });
});

async function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [BIN, 'store', ...args], {
    cwd: data,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: testEnvironment({
      NIGHTSHIFT_DATA_DIR: data,
      NIGHTSHIFT_API_PORT: String(apiPort),
      NIGHTSHIFT_S3_ENDPOINT: bucket.minio.endpoint,
      NIGHTSHIFT_S3_BUCKET: bucket.name,
      NIGHTSHIFT_S3_ACCESS_KEY: bucket.minio.accessKey,
      NIGHTSHIFT_S3_SECRET_KEY: bucket.minio.secretKey,
    }),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, output };
}

describe('nightshift store copy', () => {
  it('refuses while the API answers', async () => {
    const api = createServer((_, answer) => void answer.end('ok')).listen(apiPort, '127.0.0.1');
    await once(api, 'listening');
    const { code, output } = await run('copy', '--from', 'embedded', '--to', 's3');
    api.close();
    assert.equal(code, 1);
    assert.match(output, /A Nightshift answers at .*Stop API and workers/);
  });

  it('copies, says what and where, and has the next start use the target', async () => {
    const { code, output } = await run('copy', '--from', 'embedded', '--to', 's3');
    assert.equal(code, 0, output);
    assert.match(output, /copying the embedded store in .* to the bucket .*: 1 objects, 0\.0 MB, all checked/);
    assert.match(output, /Start with NIGHTSHIFT_STORE=s3/);
    assert.equal((await bucket.store.get('files/t/1'))?.body.toString(), 'record');
    assert.equal(await readFile(join(data, 'store.json'), 'utf8'), '{"store":"s3"}\n');
    const again = await run('copy', '--from', 'embedded', '--to', 's3');
    assert.equal(again.code, 1);
    assert.match(again.output, /The target is not empty: it holds the object files\/t\/1/);
  });

  it('shows its usage for anything else', async () => {
    for (const args of [['copy'], ['copy', '--from', 's3', '--to', 's3'], ['move', '--from', 's3', '--to', 'embedded']])
      assert.deepEqual((await run(...args)).code, 2, args.join(' '));
  });
});

describe('prepareStore', () => {
  const waiting = { logger: pino({ level: 'silent' }), signal: new AbortController().signal };

  it('refuses a store that holds a part of a copy only', async () => {
    const at = { kind: 'embedded', folder: join(data, 'half') } as const;
    const half = createEmbeddedObjectStore(at);
    await prepareStore({ at, store: half, newNonce: () => 'nonce' }, waiting);
    await half.put(keys.unfinishedCopy, Buffer.from('{}'));
    await assert.rejects(
      prepareStore({ at, store: half, newNonce: () => 'nonce' }, waiting),
      /NIGHTSHIFT_STORE_DIR: a copy into the embedded store in .*half has not finished. Run the same `nightshift store copy` again/,
    );
    half.close();
  });
});
