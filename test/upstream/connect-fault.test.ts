import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { connectFault } from '../../src/upstream/client/connect-fault.ts';
import { freePort } from '../helpers/servers.ts';
import { until } from '../helpers/until.ts';
import { type Authority, createAuthority, type Pair } from './certificates.ts';
import { openPool } from './pool.ts';
import { httpAnswer } from './raw-server.ts';

let authority: Authority;

before(() => (authority = createAuthority()));
after(() => authority[Symbol.dispose]());

interface Listening extends AsyncDisposable {
  port: number;
}

async function listen(server: Server): Promise<Listening> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return { port: address.port, [Symbol.asyncDispose]: async () => void server.close() };
}

async function tlsServer(options: TlsOptions): Promise<Listening> {
  const server = createTlsServer(options, (socket) => socket.on('error', () => undefined).on('data', () => socket.end(httpAnswer(200))));
  return await listen(server);
}

/** What one request to this origin ends in. */
async function causeAt(origin: string, requestTimeoutMs = 10_000): Promise<{ class: string; code: string; message: string }> {
  await using pool = openPool(origin, { requestTimeoutMs });
  const exchange = await pool.post();
  assert.equal(exchange.kind, 'not_connected', JSON.stringify(exchange));
  assert.ok(!exchange.message.includes(new URL(origin).host), exchange.message);
  assert.ok(exchange.message.includes(exchange.cause.code.replace('_', ' ')) || exchange.message.includes(exchange.cause.code));
  return { ...exchange.cause, message: exchange.message };
}

async function causeOfCertificate(pair: { certificate: string; key: string }): Promise<{ class: string; code: string; message: string }> {
  await using server = await tlsServer({ cert: pair.certificate, key: pair.key });
  return await causeAt(`https://127.0.0.1:${server.port}`);
}

describe('a connection that is not made', () => {
  it('names refused connections, unknown names and timeouts', async () => {
    const refused = await causeAt(`http://127.0.0.1:${await freePort()}`);
    assert.deepEqual([refused.class, refused.code], ['refused', 'ECONNREFUSED']);
    const unknown = await causeAt('http://nobody.invalid');
    assert.equal(unknown.class, 'dns');
    assert.match(unknown.code, /^(ENOTFOUND|EAI_AGAIN)$/);
    // Accepts, and never takes part in the handshake.
    await using silent = await listen(createServer(() => undefined));
    const late = await causeAt(`https://127.0.0.1:${silent.port}`, 200);
    assert.deepEqual([late.class, late.code], ['timeout', 'CONNECT_TIMEOUT']);
  });

  it('names what is wrong with a certificate, and what to do', async () => {
    const cases = [
      [authority.selfSigned(), 'DEPTH_ZERO_SELF_SIGNED_CERT', /self-signed .*: give that certificate as ca_file/],
      [authority.issue(), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', /signed by a CA that this machine does not know .*ca_file/],
    ] as const;
    for (const [pair, code, words] of cases) {
      const cause = await causeOfCertificate(pair);
      assert.deepEqual([cause.class, cause.code], ['tls', code]);
      assert.match(cause.message, words);
    }
  });

  it('names an expired certificate and one for another host, where the CA is known', async () => {
    const tls = { ca: authority.ca.certificate, client: null };
    for (const [pair, code, words] of [
      [authority.issue({ days: -1 }), 'CERT_HAS_EXPIRED', /has expired .*: renew it/],
      [authority.issue({ name: 'other.example' }), 'ERR_TLS_CERT_ALTNAME_INVALID', /for another host name/],
    ] as const) {
      await using server = await tlsServer({ cert: pair.certificate, key: pair.key });
      await using pool = openPool(`https://127.0.0.1:${server.port}`, { way: { proxy: null, tls } });
      const exchange = await pool.post();
      assert.equal(exchange.kind, 'not_connected');
      assert.deepEqual(exchange.cause, { class: 'tls', code });
      assert.match(exchange.message, words);
      assert.doesNotMatch(exchange.message, /127\.0\.0\.1|other\.example/);
    }
  });

  it('says that a port does not speak TLS', async () => {
    await using http = await listen(createHttpServer((_, response) => response.end()));
    const cause = await causeAt(`https://127.0.0.1:${http.port}`);
    assert.equal(cause.class, 'tls');
    assert.match(cause.code, /^(ERR_SSL_|EPROTO)/);
    assert.match(cause.message, /does not speak TLS on this port .*: use http:\/\//);
    await using closing = await listen(
      createServer((socket) => void socket.once('data', () => socket.destroy()).on('error', () => undefined)),
    );
    const closed = await causeAt(`https://127.0.0.1:${closing.port}`);
    assert.equal(closed.class, 'tls');
    assert.match(closed.message, /closed the connection during the TLS handshake/);
  });

  it('says that a server wants a client certificate, or another one', async () => {
    const pair = authority.issue();
    for (const version of ['tls1_2', 'tls1_3'] as const) {
      await using mutual = await opensslServer(pair, version);
      const at = async (client: Pair | null) => {
        await using pool = openPool(`https://127.0.0.1:${mutual.port}`, {
          way: { proxy: null, tls: { ca: authority.ca.certificate, client } },
        });
        return await pool.post({ method: 'GET', path: '/', body: null });
      };
      for (const client of [null, authority.selfSigned()]) {
        const exchange = await at(client);
        assert.equal(exchange.kind, 'not_connected', `${version} ${JSON.stringify(exchange)}`);
        assert.equal(exchange.cause.class, 'tls');
        assert.match(exchange.message, /client certificate|handshake/);
      }
      assert.equal((await at(authority.issue())).kind, 'answered', version);
    }
  });
});

/** A server that verifies clients as OpenSSL does, which Node's own leaves to JavaScript. It answers every request with a page. */
async function opensslServer({ certificateFile, keyFile }: Pair, version: string): Promise<Listening> {
  const port = await freePort();
  const args = ['-accept', `127.0.0.1:${port}`, '-cert', certificateFile, '-key', keyFile, '-CAfile', authority.ca.certificateFile];
  const child = spawn('openssl', ['s_server', ...args, '-Verify', '1', '-verify_return_error', `-${version}`, '-www'], { stdio: 'ignore' });
  await until(async () => await isListening(port), { what: 'openssl to listen' });
  return { port, [Symbol.asyncDispose]: async () => void child.kill() };
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isThere = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isThere;
}

describe('connectFault', () => {
  const fault = (code: string, message = '') => connectFault(Object.assign(new Error(message), { code }));

  it('knows the class of every kind of error', () => {
    const cases = [
      ['dns', ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'ENODATA']],
      ['refused', ['ECONNREFUSED']],
      ['timeout', ['ETIMEDOUT', 'CONNECT_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT']],
      ['tls', ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY']],
      ['tls', ['ERR_SSL_WRONG_VERSION_NUMBER', 'EPROTO', 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_NO_PROTOCOLS_AVAILABLE']],
      ['other', ['EHOSTUNREACH', 'ENETUNREACH', 'ECONNRESET', 'EMFILE']],
    ] as const;
    for (const [of, codes] of cases) for (const code of codes) assert.deepEqual(fault(code).cause, { class: of, code });
    assert.deepEqual(connectFault(new Error('no code')).cause, { class: 'other', code: 'unknown cause' });
  });

  it('shows no address, whatever the error says', () => {
    for (const code of ['ENOTFOUND', 'ECONNREFUSED', 'ETIMEDOUT', 'EPROTO', 'EHOSTUNREACH', 'ERR_TLS_CERT_ALTNAME_INVALID'])
      assert.doesNotMatch(fault(code, 'connect to gpu.internal:8000 failed').message, /gpu|8000/);
  });
});
