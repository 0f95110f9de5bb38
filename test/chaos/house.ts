import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serverBinary } from '../../src/processes/local/server-binaries.ts';
import { TEMPORAL_FILE_FLAGS, TEMPORAL_FLAGS } from '../../src/processes/local/temporal-flags.ts';
import { GO_SERVER, logFolder } from '../helpers/environment.ts';
import { freePort, minioAddresses } from '../helpers/servers.ts';
import { type Call, type CallLink, startCallLink } from './calls.ts';
import { type Link, startLink } from './link.ts';
import { createPart, type Part } from './part.ts';

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url));
export const ACCESS = { accessKey: 'nightshift', secretKey: 'nightshift-test' };
export const TENANTS = ['tenant-1', 'tenant-2', 'tenant-3'] as const;

/** The links of one process of ours. The API has none to the upstream, and with `bucketPort` or the embedded store there is none to the bucket. */
export interface Links {
  temporal: Link;
  bucket: Link | null;
  upstream: CallLink | null;
}

/** The whole product and its servers, every part a process and every way between two a link, all of which can be harmed. */
export interface House extends AsyncDisposable {
  readonly origin: string;
  readonly api: Part;
  readonly workers: readonly Part[];
  readonly temporal: Part;
  /** Null with the embedded store. */
  readonly minio: Part | null;
  readonly upstream: Part;
  readonly links: ReadonlyMap<Part, Links>;
  /** Everything that went upstream, oldest first. */
  readonly calls: readonly Call[];
  /** Deaths of workers by poison, oldest first, times of `performance.now()`. */
  readonly poisonings: readonly { worker: Part; atMs: number }[];
  /** What a worker tells of itself in its metrics; throws when it does not answer. */
  metricsOf(worker: Part): Promise<string>;
  /** Whether a worker takes work, which it does some time after its start. */
  isWorking(worker: Part): Promise<boolean>;
  readonly minioPort: number;
  readonly temporalPort: number;
  /** Logs, Temporal's database and MinIO's disk. */
  readonly directory: string;
  readonly minioDirectory: string;
  /** The folder of the embedded store; null with MinIO. */
  readonly storeFolder: string | null;
}

/** API keys of the tenants, as clients send them. */
export function keyOf(tenant: string): string {
  return `key-of-${tenant}`;
}

/**
 * Starts a house. `env` joins the environment of API and workers; `bucketPort` puts another proxy between them and MinIO
 * instead of links, given MinIO's port; `waiting` of the workers, the last ones, are not started; `temporalFile` false keeps Temporal's database in memory, so that it is lost with the process; `poison` is
 * what the body of a request holds that kills the worker that sends it, which is started again each time. `frozen` runs a copy of the
 * program, for a run that is long enough for someone to change the sources meanwhile.
 */
export async function startHouse({
  env = {},
  workers = 2,
  waiting = 0,
  tenants = TENANTS,
  upstreamFlags = ['--latency', '100'],
  temporalFile = true,
  poison = null,
  frozen = false,
  bucketPort = null,
  store = 'minio',
}: {
  env?: Record<string, string>;
  workers?: number;
  waiting?: number;
  tenants?: readonly string[];
  upstreamFlags?: string[];
  temporalFile?: boolean;
  poison?: string | null;
  frozen?: boolean;
  bucketPort?: ((minioPort: number) => Promise<number>) | null;
  store?: 'minio' | 'embedded';
} = {}): Promise<House> {
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-chaos-'));
  const minioDirectory = join(directory, 'minio');
  const storeFolder = store === 'embedded' ? join(directory, 'store') : null;
  const ports = await Promise.all(Array.from({ length: 5 }, freePort));
  const [temporalPort = 0, minioPort = 0, consolePort = 0, upstreamPort = 0, apiPort = 0] = ports;
  const temporalBinary = await serverBinary('temporal');
  const origin = `http://127.0.0.1:${apiPort}`;
  // The test runner keeps the logs of a file that fails.
  const logs = logFolder() ?? directory;
  const logFile = (name: string) => join(logs, `${name}.log`);
  const program = frozen ? await freeze(directory) : CHECKOUT;

  const temporal = createPart({
    name: 'temporal',
    command: temporalBinary,
    args: temporalArgs(temporalPort, temporalFile ? join(directory, 'temporal.db') : null),
    env: GO_SERVER,
    logFile: logFile('temporal'),
    ready: () => accepts(temporalPort),
  });
  const minio =
    storeFolder === null
      ? createPart({
          name: 'minio',
          command: await serverBinary('minio'),
          args: ['server', '--quiet', ...minioAddresses(minioPort, consolePort), minioDirectory],
          env: { ...GO_SERVER, MINIO_ROOT_USER: ACCESS.accessKey, MINIO_ROOT_PASSWORD: ACCESS.secretKey, MINIO_BROWSER: 'off' },
          logFile: logFile('minio'),
          ready: () => answersOk(`http://127.0.0.1:${minioPort}/minio/health/ready`),
        })
      : null;
  const upstream = createPart({
    name: 'upstream',
    command: process.execPath,
    args: [join(program, 'examples/upstream.ts'), '--port', String(upstreamPort), ...upstreamFlags],
    env: {},
    logFile: logFile('upstream'),
    ready: () => answersOk(`http://127.0.0.1:${upstreamPort}/health`),
  });

  const calls: Call[] = [];
  const poisonings: { worker: Part; atMs: number }[] = [];
  const links = new Map<Part, Links>();
  const metricsPorts = new Map<Part, number>();
  let isOver = false;

  /** As a supervisor would, it starts the worker again. */
  function kill(name: string): void {
    const worker = [...links.keys()].find((part) => part.name === name);
    if (worker === undefined) return;
    poisonings.push({ worker, atMs: performance.now() });
    void worker.stop('SIGKILL').then(() => (isOver ? undefined : worker.launch()));
  }
  const bucketAt = bucketPort === null ? null : await bucketPort(minioPort);

  async function ours(name: string, command: string, withUpstream: boolean, ready: () => Promise<boolean>): Promise<Part> {
    const its: Links = {
      temporal: await startLink(temporalPort),
      bucket: bucketAt === null && storeFolder === null ? await startLink(minioPort) : null,
      upstream: withUpstream ? await startCallLink(name, upstreamPort, calls, poison === null ? null : { text: poison, kill }) : null,
    };
    const metricsPort = await freePort();
    const part = createPart({
      name,
      command: process.execPath,
      args: [join(program, 'src/main.ts'), command],
      env: {
        NIGHTSHIFT_API_PORT: String(apiPort),
        NIGHTSHIFT_API_KEYS: tenants.map((tenant) => `${keyOf(tenant)}=${tenant}`).join(','),
        NIGHTSHIFT_TEMPORAL_ADDRESS: `127.0.0.1:${its.temporal.port}`,
        ...(storeFolder === null
          ? {
              NIGHTSHIFT_S3_ENDPOINT: `http://127.0.0.1:${bucketAt ?? its.bucket?.port}`,
              NIGHTSHIFT_S3_ACCESS_KEY: ACCESS.accessKey,
              NIGHTSHIFT_S3_SECRET_KEY: ACCESS.secretKey,
            }
          : { NIGHTSHIFT_STORE: 'embedded', NIGHTSHIFT_STORE_DIR: storeFolder }),
        NIGHTSHIFT_UPSTREAM_URL: `http://127.0.0.1:${its.upstream?.port ?? upstreamPort}/v1`,
        NIGHTSHIFT_CANCEL_GRACE_SECONDS: '2',
        ...(withUpstream ? { NIGHTSHIFT_WORKER_HTTP_PORT: String(metricsPort) } : {}),
        ...env,
      },
      logFile: logFile(name),
      ready,
    });
    links.set(part, its);
    metricsPorts.set(part, metricsPort);
    return part;
  }

  const api = await ours('api', 'api', false, () => answersOk(`${origin}/health`));
  const crew = await Promise.all(
    Array.from({ length: workers }, (_, index) => ours(`worker-${index + 1}`, 'worker', true, async () => true)),
  );
  await Promise.all([temporal.start(), minio?.start(), upstream.start()]);
  await api.start();
  for (const worker of crew.slice(0, workers - waiting)) await worker.start();

  return {
    origin,
    api,
    workers: crew,
    temporal,
    minio,
    upstream,
    links,
    calls,
    poisonings,
    metricsOf: async (worker) =>
      await (await fetch(`http://127.0.0.1:${metricsPorts.get(worker)}/metrics`, { signal: AbortSignal.timeout(5_000) })).text(),
    isWorking: async (worker) => await answersOk(`http://127.0.0.1:${metricsPorts.get(worker)}/ready`).catch(() => false),
    minioPort,
    temporalPort,
    directory,
    minioDirectory,
    storeFolder,
    async [Symbol.asyncDispose]() {
      isOver = true;
      await Promise.all([api, ...crew].map((part) => part.stop()));
      await Promise.all([temporal, minio, upstream].map(async (part) => await part?.stop()));
      for (const its of links.values()) for (const link of [its.temporal, its.bucket, its.upstream]) await link?.[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Copies the program as it is now, because processes start again and again and must all run the same code. Nothing of a copy is in Node's compile cache. */
async function freeze(directory: string): Promise<string> {
  const program = join(directory, 'program');
  for (const part of ['src', 'workflows', 'activities', 'examples', 'package.json', 'tsconfig.json'])
    await cp(join(CHECKOUT, part), join(program, part), { recursive: true });
  await symlink(join(CHECKOUT, 'node_modules'), join(program, 'node_modules'));
  return program;
}

function temporalArgs(port: number, file: string | null): string[] {
  const args = ['server', 'start-dev', '--headless', '--port', String(port), '--log-level', 'error', ...TEMPORAL_FLAGS];
  return file === null ? args : [...args, '--db-filename', file, ...TEMPORAL_FILE_FLAGS];
}

async function answersOk(url: string): Promise<boolean> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await answer.arrayBuffer();
  return answer.ok;
}

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}
