import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createApiKeys } from '../../src/api/middleware/authentication.ts';
import { loadConfig } from '../../src/config/config.ts';
import { followTenants } from '../../src/processes/follow-tenants.ts';
import { startTestApi, type TestApi } from '../api/test-api.ts';
import { until } from '../helpers/until.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';

const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-key' };

describe('an API that follows a file of tenants', () => {
  let bucket: TestBucket;
  let api: TestApi;
  let path: string;
  let nowMs = Date.now();
  const ended = new AbortController();
  const log: { fields: object; message: string }[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'nightshift-follow-'));

  /** Replaces the file as editors and Kubernetes do. */
  function write(tenants: unknown): void {
    writeFileSync(`${path}.new`, typeof tenants === 'string' ? tenants : JSON.stringify(tenants));
    renameSync(`${path}.new`, path);
  }

  const keys = (...names: string[]) => names.map((key) => ({ sha256: createHash('sha256').update(key).digest('hex') }));
  const call = async (key: string) => await fetch(`${api.origin}/v1/files`, { headers: { authorization: `Bearer ${key}` } });
  const answers = async (key: string, status: number) =>
    await until(async () => (await call(key)).status === status, { what: `${status} for ${key}` });

  before(async () => {
    bucket = await startTestBucket();
    path = join(folder, 'tenants.json');
    write([{ name: 'team', keys: keys('first') }]);
    const config = loadConfig({ ...S3, NIGHTSHIFT_TENANTS_FILE: path }, 'api');
    const note = (fields: object, message: string) => void log.push({ fields, message });
    const logger = { info: note, error: note };
    const tenants = followTenants(config, { signal: ended.signal, logger: Object(logger), lookEveryMs: 20 });
    api = await startTestApi(bucket, {
      keys: createApiKeys(
        () => tenants.current().keys,
        () => nowMs,
      ),
      settingsOf: tenants.settingsOf,
    });
  });
  after(async () => {
    ended.abort();
    await api[Symbol.asyncDispose]();
    await bucket[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  it('takes a new key and refuses a removed one', async () => {
    assert.deepEqual([(await call('first')).status, (await call('second')).status], [200, 401]);
    write([{ name: 'team', keys: keys('first', 'second') }]);
    await answers('second', 200);
    assert.equal((await call('first')).status, 200);
    write([{ name: 'team', keys: keys('second') }]);
    await answers('first', 401);
    assert.equal((await call('second')).status, 200);
  });

  it('holds tenants to new limits at once, and lets go of old ones', async () => {
    write([{ name: 'team', keys: keys('second'), requests_per_minute: 2 }]);
    await answers('second', 429);
    assert.equal((await call('second')).headers.get('x-ratelimit-limit-requests'), '2');
    write([{ name: 'team', keys: keys('second'), requests_per_minute: 1000 }]);
    await answers('second', 200);
    write([{ name: 'team', keys: keys('second') }]);
    await until(async () => !(await call('second')).headers.has('x-ratelimit-limit-requests'), { what: 'no limit' });
  });

  it('keeps the tenants before a faulty, half written or missing file, and says so once', async () => {
    log.length = 0;
    const isRefused = () => log.some(({ message }) => message.includes('is refused'));
    for (const faulty of ['[{ "name": "team"', '[{ name: team, weigth: 2 }]', '']) {
      write(faulty);
      await until(async () => await Promise.resolve(isRefused()), { what: `${faulty} to be refused` });
      assert.equal((await call('second')).status, 200);
      assert.equal(log.length, 1);
      assert.match(JSON.stringify(log[0]), /faults/);
      log.length = 0;
    }
    unlinkSync(path);
    await until(async () => await Promise.resolve(isRefused()), { what: 'a missing file to be noticed' });
    assert.equal((await call('second')).status, 200);
    write([{ name: 'team', keys: keys('third') }]);
    await answers('third', 200);
    assert.equal((await call('second')).status, 401);
  });

  it('refuses a key from the moment it expires', async () => {
    const expires_at = new Date(nowMs + 60_000).toISOString();
    write([{ name: 'team', keys: keys('brief').map((key) => ({ ...key, expires_at })) }]);
    await answers('brief', 200);
    nowMs += 60_000;
    assert.equal((await call('brief')).status, 401);
  });

  it('lets nobody in once the file has no key', async () => {
    write([]);
    await answers('third', 401);
    assert.equal((await fetch(`${api.origin}/v1/files`)).status, 401);
  });
});
