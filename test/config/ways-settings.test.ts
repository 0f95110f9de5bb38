import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ConfigError } from '../../src/config/config-error.ts';
import { type Config, loadConfig, printable } from '../../src/config/config.ts';
import { checkUpstreams } from '../../src/processes/check-upstreams.ts';
import { proxyOfEnvironment } from '../../src/config/proxy-settings.ts';
import { createUpstreams } from '../../src/upstream/create-upstreams.ts';
import { freePort } from '../helpers/servers.ts';
import { type Authority, createAuthority } from '../upstream/certificates.ts';
import { startProxy } from '../upstream/proxy-server.ts';
import { httpAnswer, startRawServer } from '../upstream/raw-server.ts';

const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-of-the-store' };
const URL_A = 'https://a.example/v1';
let authority: Authority;

before(() => (authority = createAuthority()));
after(() => authority[Symbol.dispose]());

/** The configuration of one upstream with these settings. */
function load(upstream: Record<string, unknown>, env: Record<string, string> = {}): Config {
  const path = join(authority.folder, 'upstreams.json');
  writeFileSync(path, JSON.stringify([{ name: 'gpu', base_urls: [URL_A], ...upstream }]));
  return loadConfig({ ...S3, ...env, NIGHTSHIFT_DATA_DIR: authority.folder, NIGHTSHIFT_UPSTREAMS_FILE: path }, 'worker');
}

function wayOf(upstream: Record<string, unknown>, env: Record<string, string> = {}) {
  return load(upstream, env).secrets.upstreams['gpu']?.ways[URL_A];
}

function faultsOf(upstream: Record<string, unknown>, env: Record<string, string> = {}): string {
  try {
    load(upstream, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.join('\n');
    throw error;
  }
  return '';
}

describe('the proxy of an upstream', () => {
  it('comes from its entry, else from the environment, and is none where the entry says so', () => {
    const env = { HTTPS_PROXY: 'http://env.example:3128' };
    assert.equal(wayOf({})?.proxy, null);
    assert.equal(wayOf({}, env)?.proxy, 'http://env.example:3128/');
    assert.equal(wayOf({ proxy: 'http://own.example:8080' }, env)?.proxy, 'http://own.example:8080/');
    assert.equal(wayOf({ proxy: 'none' }, env)?.proxy, null);
  });

  it('is used for the upstream of the variables too', () => {
    const env = { NIGHTSHIFT_UPSTREAM_URL: 'http://gpu.example/v1', http_proxy: 'proxy.example:3128' };
    const { ways } = loadConfig({ ...S3, ...env, NIGHTSHIFT_DATA_DIR: authority.folder }, 'worker').secrets.upstreams['default'] ?? {};
    assert.deepEqual(ways, { 'http://gpu.example/v1': { proxy: 'http://proxy.example:3128/', tls: null } });
  });

  it('must be an http(s) URL, and is never shown', () => {
    for (const proxy of ['socks5://me:hidden@p:1080', 'ftp://me:hidden@p', 'http://me:hidden%@p', 'http://me:hidden@p/path', 'http://']) {
      for (const faults of [faultsOf({ proxy }), faultsOf({}, { HTTPS_PROXY: proxy })]) {
        assert.match(faults, /(gpu: proxy|HTTPS_PROXY) must be the http\(s\) URL of a proxy/, proxy);
        assert.doesNotMatch(faults, /hidden/);
      }
    }
    assert.doesNotMatch(JSON.stringify(printable(load({ proxy: 'http://me:hidden@p:3128' }))), /hidden/);
  });
});

describe('the password of a proxy', () => {
  it('is replaced in what a server answers, as keys are', async () => {
    const sent = Buffer.from('me:hidden-word').toString('base64');
    await using server = await startRawServer((socket) => void socket.write(httpAnswer(400, `hidden-word Basic ${sent}`)));
    await using proxy = await startProxy();
    const config = load({ base_urls: [`${server.url}/v1`], proxy: `http://me:hidden-word@127.0.0.1:${proxy.port}` });
    const upstream = createUpstreams(config.upstreams, config.secrets.upstreams).get('gpu');
    const entrant = {
      tenant: 't',
      batchId: 'b',
      model: 'm',
      rank: 0,
      priority: 3,
      requestKey: 'r',
      faults: 0,
      lastServer: null,
      probes: 0,
      atGate: false,
    };
    const { signal } = new AbortController();
    const permit = await upstream?.enter(entrant, signal);
    assert.ok(typeof permit === 'object');
    const about = { batchId: 'b', line: 1, attempt: 1 };
    const attempt = await permit.send({ endpoint: '/v1/embeddings', body: Buffer.from('{}'), idempotencyKey: 'k', about }, signal);
    assert.equal('answer' in attempt && attempt.answer?.body.toString(), '*** Basic ***');
    assert.equal(proxy.tunnels.length, 1);
    await upstream?.close();
  });
});

describe('proxyOfEnvironment', () => {
  const proxyFor = (target: string, env: Record<string, string>) => proxyOfEnvironment(target, env, []);

  it('goes by the scheme of the URL, and takes lower case first', () => {
    const env = { HTTPS_PROXY: 'http://secure:1', HTTP_PROXY: 'http://plain:2', http_proxy: 'http://lower:3' };
    assert.deepEqual([proxyFor('https://h', env), proxyFor('http://h', env)], ['http://secure:1/', 'http://lower:3/']);
    assert.equal(proxyFor('https://h', { HTTP_PROXY: 'http://plain:2' }), null);
    assert.equal(proxyFor('https://h', { HTTPS_PROXY: ' ' }), null);
  });

  it('connects directly to this machine and to what NO_PROXY lists', () => {
    const list = 'internal, .corp.example,*.lab.example other:8000 10.0.0.0/8,192.168.1.7,fd00::/8';
    const of = (target: string) => proxyFor(target, { HTTP_PROXY: 'http://p:1', NO_PROXY: list });
    const direct = ['127.0.0.1:8000', 'localhost', '[::1]:9', 'internal', 'a.internal:81', 'corp.example', 'a.b.corp.example'];
    for (const host of [...direct, 'x.lab.example', 'other:8000', '10.9.8.7', '192.168.1.7:8000', '[fd00::5]', 'INTERNAL'])
      assert.equal(of(`http://${host}/v1`), null, host);
    for (const host of ['notinternal', 'corp.example.com', 'other', 'other:8001', '11.0.0.1', '192.168.1.70', '[fe80::1]', 'api.example'])
      assert.equal(of(`http://${host}/v1`), 'http://p:1/', host);
    assert.equal(proxyFor('http://h', { HTTP_PROXY: 'http://p:1', NO_PROXY: '*' }), null);
  });
});

describe('certificates of an upstream', () => {
  it('are read when the process starts', () => {
    const { certificateFile, keyFile, certificate, key } = authority.issue();
    const way = wayOf({ ca_file: authority.ca.certificateFile, cert_file: certificateFile, key_file: keyFile });
    assert.deepEqual(way, { proxy: null, tls: { ca: authority.ca.certificate, client: { certificate, key } } });
    assert.deepEqual(wayOf({ ca_file: authority.ca.certificateFile })?.tls, { ca: authority.ca.certificate, client: null });
  });

  it('are faults where they are missing, no PEM, or no pair', () => {
    const { certificateFile, keyFile } = authority.issue();
    const noPem = join(authority.folder, 'no.pem');
    writeFileSync(noPem, 'hello');
    const cases: [Record<string, string>, RegExp][] = [
      [{ ca_file: '/no/such/file' }, /gpu: ca_file: the file "\/no\/such\/file" cannot be read/],
      [{ ca_file: noPem }, /gpu: ca_file: the file ".*no\.pem" must hold a certificate in PEM format/],
      [{ cert_file: certificateFile }, /gpu: cert_file is set, but .*gpu: key_file is missing/],
      [{ key_file: keyFile }, /gpu: key_file is set, but .*gpu: cert_file is missing/],
      [{ cert_file: certificateFile, key_file: noPem }, /gpu: key_file: the file .* must hold a private key/],
      [
        { cert_file: certificateFile, key_file: authority.ca.keyFile },
        /gpu: key_file is not the key of the certificate in .*gpu: cert_file/,
      ],
    ];
    for (const [upstream, expected] of cases) assert.match(faultsOf(upstream), expected);
  });

  it('are never shown', () => {
    const { certificateFile, keyFile } = authority.issue();
    assert.doesNotMatch(JSON.stringify(printable(load({ cert_file: certificateFile, key_file: keyFile }))), /PRIVATE KEY/);
  });
});

describe('checkUpstreams', () => {
  it('warns of TLS mistakes with their code, and tells of servers that are away', async () => {
    const http = createServer().listen(0, '127.0.0.1');
    await once(http, 'listening');
    const address = http.address();
    assert.ok(address !== null && typeof address === 'object');
    const away = `http://me:hidden@127.0.0.1:${await freePort()}/v1`;
    const config = load({ base_urls: [`https://127.0.0.1:${address.port}/v1`, away], ca_file: authority.ca.certificateFile });
    const told: Record<string, unknown[]> = { info: [], warn: [] };
    const log = (level: string) => (fields: object, message: string) => void told[level]?.push({ ...fields, message });
    await checkUpstreams(config, { info: log('info'), warn: log('warn') });
    http.close();
    assert.match(JSON.stringify(told['info']), /"upstream":"gpu".*ECONNREFUSED/);
    assert.doesNotMatch(JSON.stringify(told), /hidden/);
    assert.match(JSON.stringify(told['warn']), /"code":"(ERR_SSL_|EPROTO).*does not speak TLS on this port/);
  });
});
