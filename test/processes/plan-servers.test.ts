import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../src/config/config.ts';
import { localUrl } from '../../src/processes/local/local-url.ts';
import { planServers } from '../../src/processes/local/plan-servers.ts';
import { rememberStore } from '../../src/config/store-settings.ts';
import { freePort, startMinio, startTemporal } from '../helpers/servers.ts';

let folder: string;
let env: Record<string, string>;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nightshift-plan-'));
  const [api, ui, upstream, s3, temporal] = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
  env = {
    NIGHTSHIFT_DATA_DIR: folder,
    NIGHTSHIFT_API_PORT: String(api),
    NIGHTSHIFT_TEMPORAL_UI_PORT: String(ui),
    NIGHTSHIFT_EXAMPLE_UPSTREAM_PORT: String(upstream),
    NIGHTSHIFT_S3_ENDPOINT: `http://127.0.0.1:${s3}`,
    NIGHTSHIFT_TEMPORAL_ADDRESS: `127.0.0.1:${temporal}`,
  };
});
after(async () => await rm(folder, { recursive: true, force: true }));

const plan = async (more: Record<string, string>) => await planServers(loadConfig({ ...env, ...more }, 'local'));

describe('planServers', () => {
  it('starts everything where nothing answers', async () => {
    assert.deepEqual(await plan({}), { temporal: true, minio: true, upstream: true });
    assert.deepEqual(await plan({ NIGHTSHIFT_UPSTREAM_URL: 'http://gpu:8000/v1' }), { temporal: true, minio: true, upstream: false });
  });

  it('uses the servers that run already', async () => {
    await using temporal = await startTemporal();
    await using minio = await startMinio();
    const { accessKey, secretKey } = minio;
    const running = { NIGHTSHIFT_TEMPORAL_ADDRESS: temporal.address, NIGHTSHIFT_S3_ENDPOINT: minio.endpoint };
    assert.deepEqual(await plan({ ...running, NIGHTSHIFT_S3_ACCESS_KEY: accessKey, NIGHTSHIFT_S3_SECRET_KEY: secretKey }), {
      temporal: false,
      minio: false,
      upstream: true,
    });
  });

  it('says at once that a store which runs already does not take our keys', async () => {
    await using minio = await startMinio();
    await assert.rejects(
      plan({ NIGHTSHIFT_S3_ENDPOINT: minio.endpoint }),
      /does not let us have the bucket nightshift \(.*\): set NIGHTSHIFT_S3_ACCESS_KEY and NIGHTSHIFT_S3_SECRET_KEY/,
    );
  });

  it('starts no MinIO for the embedded store, and makes its folder', async () => {
    const { NIGHTSHIFT_S3_ENDPOINT: _, ...embedded } = env;
    assert.deepEqual(await planServers(loadConfig(embedded, 'local')), { temporal: true, minio: false, upstream: true });
    assert.ok(existsSync(join(folder, 'store', 'objects.db')));
  });

  it('says that the folder of the embedded store cannot be used', async () => {
    const { NIGHTSHIFT_S3_ENDPOINT: _, ...embedded } = env;
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const config = loadConfig({ ...embedded, NIGHTSHIFT_STORE_DIR: file }, 'local');
    await assert.rejects(planServers(config), /the embedded store in .*file cannot be used \(.*\): set NIGHTSHIFT_STORE_DIR/);
  });

  it('refuses a data folder that was used with the other store, and says how to go on', async () => {
    const data = join(folder, 'data');
    const { NIGHTSHIFT_S3_ENDPOINT: _, ...rest } = env;
    const embedded = { ...rest, NIGHTSHIFT_DATA_DIR: data };
    const told = (last: string) =>
      new RegExp(`${data} was last used with .*nightshift store copy --from ${last} --to .*NIGHTSHIFT_DATA_DIR`);
    rememberStore(data, 's3');
    await assert.rejects(planServers(loadConfig(embedded, 'local')), told('s3'));
    rememberStore(data, 'embedded');
    await assert.rejects(planServers(loadConfig({ ...embedded, NIGHTSHIFT_STORE: 's3' }, 'local')), told('embedded'));
  });

  it('will not start a server on another machine', async () => {
    await assert.rejects(plan({ NIGHTSHIFT_TEMPORAL_ADDRESS: '192.0.2.1:7233' }), /NIGHTSHIFT_TEMPORAL_ADDRESS/);
  });
});

describe('localUrl', () => {
  it('leads to this machine, whatever address the server listens at', () => {
    for (const [host, url] of [
      ['0.0.0.0', 'http://127.0.0.1:7800'],
      ['::', 'http://[::1]:7800'],
      ['[::]', 'http://[::1]:7800'],
      ['[fe80::1]', 'http://[fe80::1]:7800'],
      ['::1', 'http://[::1]:7800'],
      ['localhost', 'http://localhost:7800'],
    ] as const)
      assert.equal(localUrl({ host, port: 7800 }), url);
  });
});
