import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer, type Server } from 'node:tls';
import { NativeConnection } from '@temporalio/worker';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/config.ts';
import { temporalAddress } from '../../src/processes/temporal-address.ts';
import { connectionOptions, connectTemporal } from '../../src/temporal/connection.ts';
import { startTemporal, type TestServer } from '../helpers/servers.ts';

const SERVER_NAME = 'temporal.internal';
/** A client goes on trying, so a test of a refusal waits this long. */
const REFUSED_MS = 2_500;
const S3 = { NIGHTSHIFT_S3_ACCESS_KEY: 'access', NIGHTSHIFT_S3_SECRET_KEY: 'secret-key' };

let folder: string;
let temporal: TestServer;
let proxy: Server;
let env: Record<string, string>;

const file = (name: string) => join(folder, name);
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });

/** A key and a certificate that `ca` has signed. */
function makeCertificate(name: string, ca: string, subject: string): void {
  writeFileSync(file(`${name}.ext`), `subjectAltName=DNS:${subject}\n`);
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`);
  const signing = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '1', '-extfile', `${name}.ext`];
  openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signing);
}

function makeAuthority(name: string): void {
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
    '-subj',
    `/CN=${name}`,
    '-days',
    '1',
  );
}

/** A TLS server in front of Temporal that lets only clients with a certificate of our authority in. */
async function startProxy(): Promise<Server> {
  const read = (name: string) => readFileSync(file(name));
  const pair = { key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem') };
  const server = createServer({ ...pair, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] }, (near) => {
    const [host, port] = temporal.address.split(':');
    const far = connect(Number(port), host);
    near.pipe(far).pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => undefined).on('close', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nightshift-tls-'));
  for (const authority of ['ca', 'other']) makeAuthority(authority);
  makeCertificate('server', 'ca', SERVER_NAME);
  makeCertificate('client', 'ca', 'nightshift');
  makeCertificate('stranger', 'other', 'nightshift');
  temporal = await startTemporal();
  proxy = await startProxy();
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  env = {
    ...S3,
    NIGHTSHIFT_TEMPORAL_ADDRESS: `127.0.0.1:${address.port}`,
    NIGHTSHIFT_TEMPORAL_TLS_CA_FILE: file('ca.pem'),
    NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE: file('client.pem'),
    NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE: file('client.key'),
    NIGHTSHIFT_TEMPORAL_TLS_SERVER_NAME: SERVER_NAME,
  };
});
after(async () => {
  proxy.close();
  await temporal[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const addressOf = (variables: Record<string, string>) => temporalAddress(loadConfig(variables, 'worker'));

/** Asks Temporal once, as the API does. */
async function ask(variables: Record<string, string>, patienceMs = 10_000): Promise<void> {
  const { connection } = connectTemporal(addressOf(variables));
  try {
    await connection.withDeadline(Date.now() + patienceMs, async () => await connection.workflowService.getSystemInfo({}));
  } finally {
    await connection.close();
  }
}

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([each]) => !each.startsWith(`NIGHTSHIFT_TEMPORAL_TLS_${name}`)));
}

describe('Temporal behind TLS that asks for a client certificate', () => {
  it('lets the client of the API in, and the connection of the workers', async () => {
    await ask(env);
    const native = await NativeConnection.connect(connectionOptions(addressOf(env)));
    await native.close();
  });

  it('refuses a process without a certificate, and one with a certificate of a stranger', async () => {
    const { NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE: _cert, NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE: _key, ...bare } = env;
    await assert.rejects(ask(bare, REFUSED_MS));
    const stranger = { NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE: file('stranger.pem'), NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE: file('stranger.key') };
    await assert.rejects(ask({ ...env, ...stranger }, REFUSED_MS));
    await assert.rejects(NativeConnection.connect(connectionOptions(addressOf(bare))));
  });

  it('is not trusted under another name, or signed by another authority', async () => {
    await assert.rejects(ask(without('SERVER_NAME'), REFUSED_MS));
    await assert.rejects(ask({ ...env, NIGHTSHIFT_TEMPORAL_TLS_SERVER_NAME: 'elsewhere.internal' }, REFUSED_MS));
    await assert.rejects(ask(without('CA_FILE'), REFUSED_MS));
  });
});

describe('NIGHTSHIFT_TEMPORAL_TLS_…', () => {
  function faults(variables: Record<string, string>): string {
    try {
      addressOf(variables);
      return '';
    } catch (error) {
      if (error instanceof ConfigError) return error.faults.join('\n');
      throw error;
    }
  }

  it('turns TLS on', () => {
    assert.equal(addressOf({ ...S3, NIGHTSHIFT_TEMPORAL_TLS_SERVER_NAME: SERVER_NAME }).tls, true);
    assert.equal(addressOf({ ...S3, NIGHTSHIFT_TEMPORAL_TLS_CA_FILE: file('ca.pem') }).tls, true);
    assert.equal(addressOf(S3).tls, false);
  });

  it('refuses half a pair, a key of another certificate, and files that hold neither', () => {
    assert.match(faults(without('KEY_FILE')), /CERT_FILE is set, but NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE is missing/);
    assert.match(faults(without('CERT_FILE')), /KEY_FILE is set, but NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE is missing/);
    assert.match(faults({ ...env, NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE: file('server.key') }), /is not the key of the certificate/);
    assert.match(faults({ ...env, NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE: file('client.pem') }), /must hold a private key without a password/);
    assert.match(faults({ ...env, NIGHTSHIFT_TEMPORAL_TLS_CA_FILE: file('client.key') }), /must hold a certificate in PEM format/);
    assert.match(faults({ ...env, NIGHTSHIFT_TEMPORAL_TLS_CA_FILE: file('none') }), /TLS_CA_FILE: the file ".*none" cannot be read/);
  });
});
