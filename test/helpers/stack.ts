import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { NODE_FLAGS } from '../../src/processes/node-flags.ts';
import { freePort, startMinio, startTemporal, type TestMinio, type TestServer } from './servers.ts';
import { until } from './until.ts';

const NIGHTSHIFT = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
const UPSTREAM = fileURLToPath(new URL('../../examples/upstream.ts', import.meta.url));

/** The whole product as an operator runs it: every part a process of its own, on free ports. `await using` stops all of it. */
export interface Stack extends AsyncDisposable {
  readonly baseURL: string;
  readonly origin: string;
  readonly temporal: TestServer;
  readonly minio: TestMinio;
  readonly upstream: StackUpstream;
  readonly env: Record<string, string>;
  api: StackProcess;
  worker: StackProcess;
  /** The official SDK, pointed at this stack with this key. */
  client(apiKey?: string): OpenAI;
  startApi(): Promise<StackProcess>;
  /** One more API process beside the first, on a port of its own, with these variables besides. */
  startAnotherApi(env?: Record<string, string>): Promise<StackProcess & { origin: string }>;
  /** `main` is the program, where it is not that of this checkout; `env` are variables besides. */
  startWorker(main?: string, env?: Record<string, string>): Promise<StackProcess>;
}

/** One process of ours; `stop` sends the signal and waits for its end. */
export interface StackProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** The last of what it wrote. */
  log(): string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** The example upstream as a process, with its test controls. */
export interface StackUpstream extends StackProcess {
  readonly url: string;
  /** Times each marker was called. */
  calls(): Promise<Record<string, number>>;
  set(options: Record<string, unknown>): Promise<void>;
}

/** Starts a stack; `env` adds or replaces variables of API and worker, `upstream` are flags of the example upstream, `bucketAt` and `temporalAt` answer where these seem to be. */
export async function startStack({
  env = {},
  upstream = ['--latency', '5'],
  bucketAt = async (endpoint) => endpoint,
  temporalAt = async (address) => address,
}: {
  env?: Record<string, string>;
  upstream?: string[];
  bucketAt?: (endpoint: string) => Promise<string>;
  temporalAt?: (address: string) => Promise<string>;
} = {}): Promise<Stack> {
  // Whatever is started ends with the stack, and at once where the stack cannot be started.
  const own = createOwner();
  try {
    return await startParts(own, env, upstream, bucketAt, temporalAt);
  } catch (error) {
    await own.end();
    throw error;
  }
}

async function startParts(
  own: Owner,
  env: Record<string, string>,
  upstream: string[],
  bucketAt: (endpoint: string) => Promise<string>,
  temporalAt: (address: string) => Promise<string>,
): Promise<Stack> {
  const temporal = own.use(await startTemporal());
  const minio = own.use(await startMinio());
  const [apiPort, upstreamPort] = await Promise.all([freePort(), freePort()]);
  const upstreamProcess = await startUpstream(upstreamPort, upstream, own);
  const variables: Record<string, string> = {
    NIGHTSHIFT_API_PORT: String(apiPort),
    NIGHTSHIFT_API_KEYS: 'key-a=tenant-a,key-b=tenant-b',
    NIGHTSHIFT_TEMPORAL_ADDRESS: await temporalAt(temporal.address),
    NIGHTSHIFT_S3_ENDPOINT: await bucketAt(minio.endpoint),
    NIGHTSHIFT_S3_ACCESS_KEY: minio.accessKey,
    NIGHTSHIFT_S3_SECRET_KEY: minio.secretKey,
    NIGHTSHIFT_UPSTREAM_URL: `${upstreamProcess.url}/v1`,
    NIGHTSHIFT_COMPLETION_WINDOWS: '24h,4s,1h',
    NIGHTSHIFT_CANCEL_GRACE_SECONDS: '2',
    NIGHTSHIFT_HEARTBEAT_TIMEOUT_SECONDS: '8',
    NIGHTSHIFT_SWEEP_MIN_AGE_SECONDS: '5',
    NIGHTSHIFT_LOG_LEVEL: 'info',
    ...env,
  };
  const origin = `http://127.0.0.1:${apiPort}`;
  const ready = async (path: string, started: StackProcess, at = origin) =>
    await until(
      async () => {
        if (started.child.exitCode !== null) throw new Error(`ended with ${started.child.exitCode}:\n${started.log()}`);
        return await fetch(at + path)
          .then(async (answer) => (await answer.text(), answer.ok))
          .catch(() => false);
      },
      { what: `${path} to answer 200`, seconds: 60 },
    );
  const startApi = async () => {
    const started = own.run(startProcess([...NODE_FLAGS.api, NIGHTSHIFT, 'api'], variables));
    await ready('/ready', started);
    return started;
  };
  const startWorker = async (main = NIGHTSHIFT, more: Record<string, string> = {}) => {
    return own.run(startProcess([...NODE_FLAGS.worker, main, 'worker'], { ...variables, ...more }));
  };

  const api = await startApi();
  const stack: Stack = {
    baseURL: `${origin}/v1`,
    origin,
    temporal,
    minio,
    upstream: upstreamProcess,
    env: variables,
    api,
    worker: await startWorker(),
    client: (apiKey = 'key-a') => new OpenAI({ baseURL: `${origin}/v1`, apiKey }),
    async startApi() {
      return (stack.api = await startApi());
    },
    async startAnotherApi(more = {}) {
      const port = await freePort();
      const started = {
        ...startProcess([...NODE_FLAGS.api, NIGHTSHIFT, 'api'], { ...variables, ...more, NIGHTSHIFT_API_PORT: String(port) }),
        origin: `http://127.0.0.1:${port}`,
      };
      own.run(started);
      await ready('/ready', started, started.origin);
      return started;
    },
    async startWorker(main, more) {
      return (stack.worker = await startWorker(main, more));
    },
    [Symbol.asyncDispose]: async () => await own.end(),
  };
  return stack;
}

/** Whoever started something ends it: processes first, then the servers they need. */
interface Owner {
  run<T extends StackProcess>(started: T): T;
  use<T extends AsyncDisposable>(server: T): T;
  end(): Promise<void>;
}

function createOwner(): Owner {
  const processes: StackProcess[] = [];
  const servers: AsyncDisposable[] = [];
  return {
    run: (started) => (processes.push(started), started),
    use: (server) => (servers.push(server), server),
    async end() {
      await Promise.all(processes.map(async (each) => await each.stop('SIGKILL')));
      await Promise.all(servers.map(async (each) => await each[Symbol.asyncDispose]()));
    },
  };
}

async function startUpstream(port: number, flags: string[], own: Owner): Promise<StackUpstream> {
  const url = `http://127.0.0.1:${port}`;
  const started = own.run(startProcess([UPSTREAM, '--port', String(port), ...flags], {}));
  await until(
    async () =>
      await fetch(`${url}/health`)
        .then((answer) => answer.ok)
        .catch(() => false),
    { what: 'the example upstream', seconds: 60 },
  );
  return {
    ...started,
    url,
    async calls() {
      const answer = await fetch(`${url}/__calls`);
      return Object(await answer.json());
    },
    async set(options) {
      await fetch(`${url}/__set`, { method: 'POST', body: JSON.stringify(options) });
    },
  };
}

function startProcess(args: string[], env: Record<string, string>): StackProcess {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let log = '';
  const keep = (chunk: Buffer) => (log = (log + chunk.toString()).slice(-200_000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  // Not `exit`, which may come before the last lines of the log.
  const closed = once(child, 'close');
  async function stop(signal: NodeJS.Signals = 'SIGTERM') {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await closed;
    return child.exitCode;
  }
  return {
    child,
    log: () => log,
    stop,
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL');
    },
  };
}
