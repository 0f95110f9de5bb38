import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NO_KEYS } from '../../src/api/middleware/authentication.ts';
import { startTestBucket, type TestBucket } from '../storage/test-bucket.ts';
import { received, startTestApi, type TestApi } from './test-api.ts';

describe('requests that a web page can make a browser send', () => {
  let bucket: TestBucket;
  before(async () => (bucket = await startTestBucket()));
  after(async () => await bucket[Symbol.asyncDispose]());

  const keyless = async (corsOrigins: string[] = []) =>
    await startTestApi(bucket, { keys: NO_KEYS, browserRules: { allowedHosts: ['batch.lan'], corsOrigins } });

  /** Status line, headers and body of the answer to one request. */
  async function ask(api: TestApi, line: string, headers: Record<string, string>, body = ''): Promise<string> {
    const all = { host: `127.0.0.1:${api.port}`, connection: 'close', 'content-length': String(Buffer.byteLength(body)), ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    return await received(await api.send(`${line} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`));
  }

  it('are answered under the names of this machine and those that are allowed', async () => {
    await using api = await keyless();
    for (const host of ['localhost', 'LOCALHOST:7800', '127.0.0.1:1', '[::1]:7800', '[::1]', 'localhost.', 'batch.lan:80']) {
      assert.match(await ask(api, 'GET /v1/files', { host }), /^HTTP\/1\.1 200 /, host);
    }
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example:7800',
      'evil.example:127',
      '127.0.0.2',
      '0.0.0.0:7800',
      'localhost@evil',
    ]) {
      const answer = await ask(api, 'GET /v1/files', { host });
      assert.match(answer, /^HTTP\/1\.1 403 [^]*"host_not_allowed"/, host);
      assert.match(answer, /NIGHTSHIFT_ALLOWED_HOSTS/);
    }
    assert.match(await ask(api, 'GET /health', { host: 'probe.internal' }), /^HTTP\/1\.1 200 /);
  });

  it('are refused from the pages of other origins, forms as well', async () => {
    await using api = await keyless();
    const form =
      '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n';
    const type = { 'content-type': 'multipart/form-data; boundary=b' };
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:1', 'file://', 'chrome-extension://abc', 'nonsense']) {
      assert.match(await ask(api, 'POST /v1/files', { ...type, origin }, form), /^HTTP\/1\.1 403 [^]*"origin_not_allowed"/, origin);
      assert.match(await ask(api, 'POST /v1/batches/batch_1/cancel', { origin }), /^HTTP\/1\.1 403 /, origin);
    }
    assert.match(await ask(api, 'POST /v1/files', type, form), /^HTTP\/1\.1 200 /);
    assert.match(await ask(api, 'POST /v1/files', { ...type, origin: `http://127.0.0.1:${api.port}` }, form), /^HTTP\/1\.1 200 /);
  });

  it('cannot send JSON under a content type for which a browser does not ask', async () => {
    await using api = await keyless();
    for (const type of ['text/plain', 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=b']) {
      for (const path of ['/v1/batches', '/v1/uploads', '/v1/uploads/upload_1/complete']) {
        assert.match(await ask(api, `POST ${path}`, { 'content-type': type }, '{}'), /^HTTP\/1\.1 415 /, `${path} ${type}`);
      }
    }
    assert.match(await ask(api, 'POST /v1/batches', { 'content-type': 'application/json' }, '{}'), /^HTTP\/1\.1 400 [^]*input_file_id/);
  });

  it('are as any other request where keys are set, whatever the name and the origin', async () => {
    await using api = await startTestApi(bucket);
    const authorization = 'Bearer key-a';
    assert.match(
      await ask(api, 'GET /v1/files', { host: 'batch.example', authorization, origin: 'https://evil.example' }),
      /^HTTP\/1\.1 200 /,
    );
    assert.doesNotMatch(await ask(api, 'GET /v1/files', { authorization, origin: 'https://evil.example' }), /access-control/i);
    assert.match(
      await ask(api, 'OPTIONS /v1/files', { origin: 'https://a.example', 'access-control-request-method': 'GET' }),
      /^HTTP\/1\.1 401 /,
    );
  });

  it('of an allowed origin get their preflight without a key, and may read the headers of answers and errors', async () => {
    await using api = await startTestApi(bucket, { browserRules: { allowedHosts: null, corsOrigins: ['https://tools.example'] } });
    const origin = 'https://tools.example';
    const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,x-stainless-lang' };
    const preflight = await ask(api, 'OPTIONS /v1/batches', { origin, ...asked });
    assert.match(preflight, /^HTTP\/1\.1 204 /);
    assert.match(preflight, /access-control-allow-origin: https:\/\/tools\.example\r\n/i);
    assert.match(preflight, /access-control-allow-headers: authorization,x-stainless-lang\r\n/i);
    assert.match(preflight, /access-control-allow-methods: [^\r]*POST/i);
    assert.doesNotMatch(await ask(api, 'OPTIONS /v1/batches', { origin: 'https://other.example', ...asked }), /access-control/i);
    for (const [headers, status] of [
      [{ authorization: 'Bearer key-a' }, 200],
      [{}, 401],
    ] as const) {
      const answer = await ask(api, 'GET /v1/files', { origin, ...headers });
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
      assert.match(answer, /access-control-allow-origin: https:\/\/tools\.example\r\n/i);
      assert.match(answer, /vary: [^\r]*Origin/i);
      for (const name of ['x-request-id', 'retry-after', 'content-range', 'x-ratelimit-limit-requests'])
        assert.ok(answer.includes(name), name);
    }
    await using open = await keyless(['*']);
    assert.match(await ask(open, 'GET /v1/files', { origin: 'https://any.example' }), /access-control-allow-origin: \*\r\n/i);
  });
});
