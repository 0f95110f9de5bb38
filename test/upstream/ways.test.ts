import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { after, before, describe, it } from 'node:test';
import type { TlsOptions } from 'node:tls';
import { askModels } from '../../src/upstream/client/ask-models.ts';
import { checkServer } from '../../src/upstream/client/check-server.ts';
import { createServerClient } from '../../src/upstream/client/client.ts';
import { freePort } from '../helpers/servers.ts';
import { type Authority, createAuthority } from './certificates.ts';
import { openPool } from './pool.ts';
import { startProxy } from './proxy-server.ts';
import { httpAnswer, startRawServer } from './raw-server.ts';

const never = new AbortController().signal;
let authority: Authority;

before(() => (authority = createAuthority()));
after(() => authority[Symbol.dispose]());

async function startHttps(options: TlsOptions): Promise<AsyncDisposable & { url: string; port: number }> {
  const server = createHttpsServer(options, (request, response) => request.resume().on('end', () => response.end('{"data":[{"id":"m"}]}')));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    url: `https://127.0.0.1:${address.port}`,
    port: address.port,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function serverTls(): TlsOptions {
  const { certificate, key } = authority.issue();
  return { cert: certificate, key };
}

const knownCa = () => ({ ca: authority.ca.certificate, client: null });

describe('a proxy', () => {
  it('tunnels requests to servers with and without TLS, and gets its user and password alone', async () => {
    await using proxy = await startProxy();
    const url = `http://me:p%40ss@127.0.0.1:${proxy.port}`;
    await using plain = await startRawServer((socket) => void socket.write(httpAnswer(200)));
    await using encrypted = await startHttps(serverTls());
    for (const server of [plain, encrypted]) {
      await using pool = openPool(server.url, { way: { proxy: url, tls: knownCa() } });
      for (let count = 0; count < 3; count += 1) assert.equal((await pool.post()).kind, 'answered');
    }
    const authorization = `Basic ${Buffer.from('me:p@ss').toString('base64')}`;
    assert.deepEqual(proxy.tunnels, [
      { target: `127.0.0.1:${plain.port}`, authorization },
      { target: `127.0.0.1:${encrypted.port}`, authorization },
    ]);
    assert.doesNotMatch(plain.requests.join(), /proxy-authorization|p%40ss/i);
  });

  it('resolves the names of servers', async () => {
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(200)));
    await using proxy = await startProxy(
      () => 200,
      () => server.port,
    );
    await using pool = openPool('http://gpu.invalid:8000', { way: { proxy: `http://127.0.0.1:${proxy.port}`, tls: null } });
    assert.equal((await pool.post()).kind, 'answered');
    assert.equal(proxy.tunnels[0]?.target, 'gpu.invalid:8000');
  });

  it('that opens no tunnel is named as the cause, with what to do', async () => {
    const cases = [
      [407, 'HTTP_407', /does not accept our user and password, or misses them \(HTTP 407\): put them into its URL/],
      [403, 'HTTP_403', /opens no tunnel to the upstream \(HTTP 403\): allow CONNECT/],
      [502, 'HTTP_502', /the proxy does not reach the upstream \(HTTP 502\)$/],
    ] as const;
    for (const [status, code, words] of cases) {
      await using proxy = await startProxy(() => status);
      await using pool = openPool('http://gpu.invalid', { way: { proxy: `http://127.0.0.1:${proxy.port}`, tls: null } });
      const exchange = await pool.post();
      assert.equal(exchange.kind, 'not_connected');
      assert.deepEqual(exchange.cause, { class: 'proxy', code });
      assert.match(exchange.message, words);
    }
  });

  it('that is away, unknown, silent or no proxy is named as the cause', async () => {
    await using noProxy = await startRawServer((socket) => void socket.end('SSH-2.0\r\n'));
    await using silent = await startRawServer(() => undefined);
    const cases = [
      [`http://127.0.0.1:${await freePort()}`, /the proxy refuses connections \(ECONNREFUSED\)/],
      ['http://nobody.invalid:3128', /the name of the proxy is not found \((ENOTFOUND|EAI_AGAIN)\)/],
      [noProxy.url, /is no HTTP proxy \(HPE_/],
      [silent.url, /connecting through the proxy timed out/],
    ] as const;
    for (const [proxy, words] of cases) {
      await using pool = openPool('http://gpu.invalid', { way: { proxy, tls: null }, requestTimeoutMs: 500 });
      const exchange = await pool.post();
      assert.equal(exchange.kind, 'not_connected');
      assert.equal(exchange.cause.class, 'proxy');
      assert.match(exchange.message, words);
      assert.doesNotMatch(exchange.message, /127\.0\.0\.1|invalid/);
    }
  });

  it('is chosen by base URL for requests, and used for the list of models', async () => {
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(200, '{"data":[]}')));
    await using proxy = await startProxy();
    const ways = { [`${server.url}/v1`]: { proxy: `http://127.0.0.1:${proxy.port}`, tls: null } };
    const client = createServerClient({
      baseUrl: `${server.url}/v1`,
      apiKey: null,
      headers: {},
      way: ways[`${server.url}/v1`],
      redact: (body) => body,
      requestTimeoutMs: 5000,
      totalTimeoutMs: 5000,
      maxResponseBytes: 1000,
      connections: 1,
    });
    await client.send(
      { endpoint: '/v1/embeddings', body: Buffer.from('{}'), idempotencyKey: 'k', about: { batchId: 'b', line: 1, attempt: 1 } },
      never,
    );
    await client.close();
    assert.equal(proxy.tunnels.length, 1);
    await askModels(`${server.url}/v1`, { apiKey: null, headers: {}, ways }, 5000);
    assert.deepEqual([proxy.tunnels.length, server.requests[1]?.split(' ').slice(0, 2)], [2, ['GET', '/v1/models']]);
  });
});

describe('a private CA and a client certificate', () => {
  it('let requests and the question for models through', async () => {
    const client = authority.issue();
    await using server = await startHttps({ ...serverTls(), ca: authority.ca.certificate, requestCert: true, rejectUnauthorized: true });
    const way = { proxy: null, tls: { ca: authority.ca.certificate, client } };
    await using pool = openPool(server.url, { way });
    assert.equal((await pool.post()).kind, 'answered');
    assert.deepEqual(await askModels(server.url, { apiKey: null, headers: {}, ways: { [server.url]: way } }, 5000), {
      status: 200,
      text: '{"data":[{"id":"m"}]}',
    });
  });

  it('replace the CAs that this machine knows, and no check of the host name', async () => {
    await using other = await startHttps(
      (({ certificate, key }) => ({ cert: certificate, key }))(authority.issue({ name: 'other.example' })),
    );
    await using pool = openPool(other.url, { way: { proxy: null, tls: knownCa() } });
    const exchange = await pool.post();
    assert.equal(exchange.kind === 'not_connected' && exchange.cause.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
  });
});

describe('checkServer', () => {
  it('finds nothing wrong with servers that can be used, and sends them nothing', async () => {
    await using plain = await startRawServer(() => undefined);
    await using encrypted = await startHttps(serverTls());
    assert.equal(await checkServer(`${plain.url}/v1`), null);
    assert.equal(await checkServer(encrypted.url, { proxy: null, tls: knownCa() }), null);
    assert.deepEqual(plain.requests, []);
  });

  it('finds what is wrong with TLS, proxies and servers that are away', async () => {
    await using plain = await startRawServer((socket) => void socket.end(httpAnswer(400)));
    await using encrypted = await startHttps(serverTls());
    await using proxy = await startProxy(() => 407);
    const causes = await Promise.all([
      checkServer(encrypted.url),
      checkServer(plain.url.replace('http:', 'https:'), undefined, 500),
      checkServer(`http://127.0.0.1:${await freePort()}/v1`),
      checkServer('http://gpu.invalid/v1', { proxy: `http://127.0.0.1:${proxy.port}`, tls: null }),
    ]);
    assert.deepEqual(
      causes.map((fault) => fault?.cause.class),
      ['tls', 'timeout', 'refused', 'proxy'],
    );
    assert.equal(causes[0]?.cause.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });
});
