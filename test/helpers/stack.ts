import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { NODE_FLAGS } from '../../src/processes/node-flags.ts';
import { CRASH, logFolder, testEnvironment, workingFolder } from './environment.ts';
import { freePort, startTemporal, type TestMinio, type TestServer } from './servers.ts';
import { startBucket, startFolder } from './stack-store.ts';
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
  /** The worker that was started last. */
  readonly worker: StackProcess;
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

interface StackOptions {
  /** Adds or replaces variables of API and worker. */
  env?: Record<string, string>;
  /** Flags of the example upstream. */
  upstream?: string[];
  /** False leaves the worker out, whose start costs more than a second of CPU. */
  withWorker?: boolean;
  /** Where objects are: `embedded` starts no MinIO. The variable TEST_STORE sets the default, to run a file of tests on the other store. */
  store?: 'minio' | 'embedded';
  /** Starts a MinIO for this stack, which a test needs that ends its process or reads its folder. */
  ownMinio?: boolean;
  /** Where the processes find MinIO, given its endpoint. */
  bucketAt?: (endpoint: string) => Promise<string>;
  /** Where the processes find Temporal, given its address. */
  temporalAt?: (address: string) => Promise<string>;
}

/** Starts a stack. */
export async function startStack({
  env = {},
  upstream = ['--latency', '5'],
  withWorker = true,
  store = process.env['TEST_STORE'] === 'embedded' ? 'embedded' : 'minio',
  ownMinio = false,
  bucketAt = async (endpoint) => endpoint,
  temporalAt = async (address) => address,
}: StackOptions = {}): Promise<Stack> {
  // Whatever is started ends with the stack, and at once where the stack cannot be started.
  const own = createOwner();
  try {
    return await startParts(own, { env, upstream, withWorker, store, ownMinio, bucketAt, temporalAt });
  } catch (error) {
    await own.end().catch((fault: unknown) => {
      throw new AggregateError([error, fault], 'the stack did not start');
    });
    throw error;
  }
}

async function startParts(
  own: Owner,
  { env, upstream, withWorker, store, ownMinio, bucketAt, temporalAt }: Required<StackOptions>,
): Promise<Stack> {
  const objects = store === 'embedded' ? own.use(await startFolder()) : own.use(await startBucket(ownMinio, bucketAt));
  const temporal = own.use(await startTemporal());
  const [apiPort, upstreamPort] = await Promise.all([freePort(), freePort()]);
  const upstreamProcess = await startUpstream(upstreamPort, upstream, own);
  const variables: Record<string, string> = {
    NIGHTSHIFT_API_PORT: String(apiPort),
    NIGHTSHIFT_API_KEYS: 'key-a=tenant-a,key-b=tenant-b',
    NIGHTSHIFT_TEMPORAL_ADDRESS: await temporalAt(temporal.address),
    ...objects.env,
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
    const started = own.run(startProcess('api', [...NODE_FLAGS.api, NIGHTSHIFT, 'api'], variables));
    await ready('/ready', started);
    return started;
  };
  const startWorker = async (main = NIGHTSHIFT, more: Record<string, string> = {}) => {
    return own.run(startProcess('worker', [...NODE_FLAGS.worker, main, 'worker'], { ...variables, ...more }));
  };

  const api = await startApi();
  let worker = withWorker ? await startWorker() : null;
  const stack: Stack = {
    baseURL: `${origin}/v1`,
    origin,
    temporal,
    get minio() {
      if (!('minio' in objects)) throw new Error('This stack has the embedded store, so it has no MinIO.');
      return objects.minio;
    },
    upstream: upstreamProcess,
    env: variables,
    api,
    get worker() {
      if (worker === null) throw new Error('This stack has no worker. Start it with one, or start a worker.');
      return worker;
    },
    client: (apiKey = 'key-a') => new OpenAI({ baseURL: `${origin}/v1`, apiKey }),
    async startApi() {
      return (stack.api = await startApi());
    },
    async startAnotherApi(more = {}) {
      const port = await freePort();
      const started = {
        ...startProcess('api', [...NODE_FLAGS.api, NIGHTSHIFT, 'api'], { ...variables, ...more, NIGHTSHIFT_API_PORT: String(port) }),
        origin: `http://127.0.0.1:${port}`,
      };
      own.run(started);
      await ready('/ready', started, started.origin);
      return started;
    },
    async startWorker(main, more) {
      return (worker = await startWorker(main, more));
    },
    [Symbol.asyncDispose]: async () => await own.end(),
  };
  return stack;
}

/** A process of which the stack knows whether it was healthy. */
interface OwnedProcess extends StackProcess {
  /** It ended before it was stopped, or logged an uncaught error. */
  readonly complaints: readonly string[];
}

/** Whoever started something ends it: processes first, then the servers they need. */
interface Owner {
  run<T extends OwnedProcess>(started: T): T;
  use<T extends AsyncDisposable>(server: T): T;
  end(): Promise<void>;
}

function createOwner(): Owner {
  const processes: OwnedProcess[] = [];
  const servers: AsyncDisposable[] = [];
  return {
    run: (started) => (processes.push(started), started),
    use: (server) => (servers.push(server), server),
    async end() {
      await Promise.all(processes.map(async (each) => await each.stop('SIGKILL')));
      await Promise.all(servers.map(async (each) => await each[Symbol.asyncDispose]()));
      const complaints = processes.flatMap((each) => each.complaints);
      // A retry hides such a process from the test.
      if (complaints.length > 0) throw new Error(`a process of the stack was not healthy:\n${complaints.join('\n')}`);
    },
  };
}

async function startUpstream(port: number, flags: string[], own: Owner): Promise<StackUpstream> {
  const url = `http://127.0.0.1:${port}`;
  const started = own.run(startProcess('upstream', [UPSTREAM, '--port', String(port), ...flags], {}));
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

function startProcess(name: string, args: string[], env: Record<string, string>): OwnedProcess {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: workingFolder(), env: testEnvironment(env) });
  const folder = logFolder();
  const file = folder === null ? null : createWriteStream(join(folder, `${name}-${child.pid}.log`));
  const complaints: string[] = [];
  let log = '';
  let isWanted = true;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log = `${log}${line}\n`.slice(-200_000);
      file?.write(`${line}\n`);
      if (CRASH.test(line)) complaints.push(`${name}: ${line.slice(0, 500)}`);
    });
  }
  child.on('exit', (code, signal) => {
    if (isWanted) complaints.push(`${name} ended by itself with ${code ?? signal}: ${log.slice(-2_000)}`);
  });
  // Not `exit`, which may come before the last lines of the log.
  const closed = once(child, 'close');
  async function stop(signal: NodeJS.Signals = 'SIGTERM') {
    isWanted = false;
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await closed;
    file?.end();
    return child.exitCode;
  }
  return {
    child,
    complaints,
    log: () => log,
    stop,
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL');
    },
  };
}
