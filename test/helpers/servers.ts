import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { serverBinary } from '../../src/processes/local/server-binaries.ts';
import { TEMPORAL_FLAGS } from '../../src/processes/local/temporal-flags.ts';
import { GO_SERVER, testEnvironment } from './environment.ts';

/** A server that a test started; `await using` stops it. */
export interface TestServer extends AsyncDisposable {
  readonly address: string;
  readonly process: ChildProcess;
}

/** A real Temporal dev server in memory, on a free port unless one is given. `address` is `host:port`. */
export async function startTemporal(flags: readonly string[] = TEMPORAL_FLAGS, givenPort?: number): Promise<TestServer> {
  const port = givenPort ?? (await freePort());
  const args = ['server', 'start-dev', '--headless', '--port', String(port), '--log-level', 'error', ...flags];
  return await start(await serverBinary('temporal'), args, port, {});
}

/** The time-skipping Temporal test server on a free port. `address` is `host:port`. */
export async function startTimeSkippingTemporal(): Promise<TestServer> {
  const port = await freePort();
  return await start(await serverBinary('temporal-test-server'), [String(port), '--enable-time-skipping'], port, {});
}

/** What a client needs to reach a test's MinIO. */
export interface TestMinio extends TestServer {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly directory: string;
  /** Starts it anew on the same port and data, after a test ended `process`. */
  startAgain(): Promise<void>;
}

const [ACCESS_KEY, SECRET_KEY] = ['nightshift', 'nightshift-test'];

/** The variable in which the test runner names the endpoint of the MinIO of the whole run. */
export const SHARED_MINIO = 'TEST_MINIO_ENDPOINT';

/**
 * A MinIO, and a bucket for this test alone. The MinIO is that of the test run, or one that starts here: without a runner, and for a test
 * that needs its own because it ends `process` or reads `directory`.
 */
export async function minioWithBucket({ own = false }: { own?: boolean } = {}): Promise<{ minio: TestMinio; bucket: string }> {
  const endpoint = process.env[SHARED_MINIO];
  if (own || endpoint === undefined) return { minio: await startMinio(), bucket: 'nightshift' };
  const refuse = (): never => {
    throw new Error('This MinIO serves other test files too. Ask for an own one to end its process or to read its folder.');
  };
  const minio: TestMinio = {
    address: new URL(endpoint).host,
    endpoint,
    accessKey: ACCESS_KEY,
    secretKey: SECRET_KEY,
    get process() {
      return refuse();
    },
    get directory() {
      return refuse();
    },
    startAgain: async () => await Promise.reject(refuse()),
    [Symbol.asyncDispose]: async () => {},
  };
  return { minio, bucket: `test-${randomBytes(8).toString('hex')}` };
}

/** A real MinIO on a free port, with data in a temporary folder that goes with it. */
export async function startMinio(): Promise<TestMinio> {
  const [port, consolePort] = await Promise.all([freePort(), freePort()]);
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-minio-'));
  const address = `127.0.0.1:${port}`;
  const binary = await serverBinary('minio');
  const launch = async () =>
    await start(binary, ['server', '--quiet', ...minioAddresses(port, consolePort), directory], port, {
      MINIO_ROOT_USER: ACCESS_KEY,
      MINIO_ROOT_PASSWORD: SECRET_KEY,
      MINIO_BROWSER: 'off',
    });
  let server = await launch();
  return {
    address,
    get process() {
      return server.process;
    },
    async startAgain() {
      server = await launch();
    },
    endpoint: `http://${address}`,
    accessKey: ACCESS_KEY,
    secretKey: SECRET_KEY,
    directory,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/**
 * Where MinIO listens. Its console is off, but MinIO refuses to start when the port of the console is taken, so that port has
 * to be one of `freePort` too.
 */
export function minioAddresses(port: number, consolePort: number): string[] {
  return ['--address', `127.0.0.1:${port}`, '--console-address', `127.0.0.1:${consolePort}`];
}

/**
 * A port of the loopback address that was free a moment ago, another one each time. Taken by lot from below the range that the system gives to
 * outgoing connections: one of those would soon be somebody else's.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    if (!(await isOurs(port))) continue;
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/**
 * Whether no other test process was given this port. Test files run at the same time, and a port is free until its server listens, and again
 * while that is down: so whoever is given one holds it as long as the process lives, in UDP, where nobody else wants it.
 */
async function isOurs(port: number): Promise<boolean> {
  const holder = createSocket('udp4');
  return await new Promise((resolve) => {
    holder.once('error', () => (holder.close(), resolve(false)));
    holder.bind({ port, address: '127.0.0.1', exclusive: true }, () => (holder.unref(), resolve(true)));
  });
}

async function start(binary: string, args: string[], port: number, env: Record<string, string>): Promise<TestServer> {
  const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'], env: testEnvironment({ ...GO_SERVER, ...env }) });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4000)));
  const deadline = Date.now() + 60_000;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`${binary} did not start: ${stderr}`);
    await delay(50);
  }
  return {
    address: `127.0.0.1:${port}`,
    process: child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function accepts(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}
