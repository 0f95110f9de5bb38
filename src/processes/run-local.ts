import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { cwd, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endOnUncaught } from './end-on-uncaught.ts';
import { type Config, loadConfig } from '../config/config.ts';
import { environment } from '../config/environment.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type Children, createChildren } from './local/children.ts';
import { planServers, s3Place, type ServerPlan, temporalArguments, temporalPlace } from './local/plan-servers.ts';
import { answersOk, isTaken, isTemporal } from './local/probes.ts';
import { describeOwnUpstream } from './local/own-upstream.ts';
import { runCommand } from './local/run-command.ts';
import { runExample } from './local/run-example.ts';
import { serverBinary } from './local/server-binaries.ts';
import { printedSteps, type Steps } from './local/steps.ts';
import { stopSignal } from './local/stop-signal.ts';
import { temporalAddress } from './temporal-address.ts';
import { NODE_FLAGS } from './node-flags.ts';

const HELP = `nightshift local [options]

Runs everything on this machine: Temporal, MinIO, the API, a worker and the example upstream, each as a process of its own.
A server that answers already is used. Data and logs lie in NIGHTSHIFT_DATA_DIR (.nightshift). Ctrl-C ends all of it.

  --example  send the example batch through the API, if its requests go to the example upstream
  --exit     end everything after the example; exit code 0 only if it is completed
`;

const NIGHTSHIFT = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
const EXAMPLE_UPSTREAM = fileURLToPath(new URL('../../examples/upstream.ts', import.meta.url));
const SERVER_GRACE_MS = 10_000;

/** `nightshift local`. Answers the exit code. */
export async function runLocal(args: string[]): Promise<number> {
  const options = {
    example: { type: 'boolean', default: false },
    exit: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return (stdout.write(HELP), 0);
  // Whoever reads along may go away; the servers stay.
  stdout.on('error', () => undefined);

  const config = loadConfig(environment(), 'local');
  endOnUncaught(createLogger(config.log, 'local'));
  const plan = await planServers(config);
  await mkdir(config.local.dataDir, { recursive: true });
  const signal = stopSignal();
  const steps = printedSteps(stdout);
  const children = createChildren({
    logs: join(config.local.dataDir, 'logs'),
    signal,
    onRestart: (sentence) => stdout.write(`  ! ${sentence}\n`),
  });
  try {
    await startServers(config, plan, children, steps, signal);
    const apiUrl = urlOf(config.api);
    await startOwn(config, plan, children, steps, apiUrl);
    stdout.write(addresses(config, plan, apiUrl));
    const isOurs = config.local.exampleUpstreamWanted;
    if (!isOurs) stdout.write(await describeOwnUpstream(config));
    let isCompleted = false;
    if (isOurs && (values.example || values.exit))
      isCompleted = await runExample({ baseUrl: `${apiUrl}/v1`, apiKey: config.secrets.clientKey }, config.local.dataDir, signal);
    if (values.exit) return isCompleted ? 0 : 1;
    stdout.write('\nEverything stays up; Ctrl-C ends it.\n');
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return 0;
  } catch (error) {
    if (!signal.aborted) throw error;
    return values.exit ? 1 : 0;
  } finally {
    const step = steps.begin('ending: worker, API, example upstream, MinIO, Temporal');
    await children.stop();
    step.done();
  }
}

/** Temporal and MinIO, found or fetched, where none answers yet. */
async function startServers(config: Config, plan: ServerPlan, children: Children, steps: Steps, signal: AbortSignal): Promise<void> {
  // One after the other, so that what is fetched is told in order.
  const temporal = plan.temporal ? await serverBinary('temporal', steps, signal) : null;
  const minio = plan.minio ? await serverBinary('minio', steps, signal) : null;
  const { s3 } = config.secrets;
  if (temporal !== null) {
    const [version = 'unknown'] = /\d+\.\d+\.\d+/.exec(await runCommand(temporal, ['--version'], { signal })) ?? [];
    const isReady = async () =>
      (await isTaken(temporalPlace(config).host, temporalPlace(config).port)) &&
      (await isTemporal({ ...temporalAddress(config), apiKey: null }));
    await started(
      steps,
      `Temporal at ${config.temporal.address}`,
      async () =>
        await children.start({
          name: 'temporal',
          command: temporal,
          args: temporalArguments(config, version),
          graceMs: SERVER_GRACE_MS,
          isReady,
        }),
    );
  }
  if (minio !== null && s3.from !== 'AWS') {
    const { host, port } = s3Place(config);
    // The console is off; left unnamed it is given a random port, and MinIO refuses to start if that is the same.
    const args = [
      'server',
      '--quiet',
      '--address',
      `${host}:${port}`,
      '--console-address',
      `${host}:${(port % 65_535) + 1}`,
      join(config.local.dataDir, 'minio'),
    ];
    const env = { MINIO_ROOT_USER: s3.keys.accessKey, MINIO_ROOT_PASSWORD: s3.keys.secretKey, MINIO_BROWSER: 'off' };
    const isReady = async () => await answersOk(`${config.s3.endpoint}/minio/health/ready`);
    await started(
      steps,
      `MinIO at ${config.s3.endpoint}`,
      async () => await children.start({ name: 'minio', command: minio, args, env, graceMs: SERVER_GRACE_MS, isReady }),
    );
  }
}

/** What is ours. Started after the servers and so ended before them, the worker first. */
async function startOwn(config: Config, plan: ServerPlan, children: Children, steps: Steps, apiUrl: string): Promise<void> {
  const { exampleUpstreamPort } = config.local;
  const node = { command: process.execPath, graceMs: config.shutdownGraceMs + 5_000 };
  if (plan.upstream) {
    const args = [EXAMPLE_UPSTREAM, '--port', String(exampleUpstreamPort)];
    const isReady = async () => await answersOk(`http://127.0.0.1:${exampleUpstreamPort}/health`);
    await started(
      steps,
      `example upstream at http://127.0.0.1:${exampleUpstreamPort}/v1`,
      async () => await children.start({ ...node, name: 'upstream', args, isReady }),
    );
  }
  await started(
    steps,
    `API at ${apiUrl}/v1`,
    async () =>
      await children.start({
        ...node,
        name: 'api',
        args: [...NODE_FLAGS.api, NIGHTSHIFT, 'api'],
        isReady: async () => await answersOk(`${apiUrl}/ready`),
      }),
  );
  await started(
    steps,
    'worker',
    async () =>
      await children.start({
        ...node,
        name: 'worker',
        args: [...NODE_FLAGS.worker, NIGHTSHIFT, 'worker'],
        isReady: async () => await Promise.resolve(true),
      }),
  );
}

async function started(steps: Steps, what: string, start: () => Promise<void>): Promise<void> {
  const step = steps.begin(what);
  try {
    await start();
    step.done();
  } catch (error) {
    step.failed('it did not start');
    throw error;
  }
}

function addresses(config: Config, plan: ServerPlan, apiUrl: string): string {
  const { host } = temporalPlace(config);
  const { keysFile } = config.local;
  const rows = [
    ['API', `${apiUrl}/v1`],
    ['Temporal UI', plan.temporal ? `http://${host}:${config.local.temporalUiPort}` : `that of the server at ${config.temporal.address}`],
    ['MinIO', `${config.s3.endpoint}  (bucket ${config.s3.bucket}${keysFile === null ? '' : `, keys in ${fromHere(keysFile)}`})`],
    ['Logs', fromHere(join(config.local.dataDir, 'logs'))],
  ];
  return `\n${rows.map(([name, value]) => `  ${name?.padEnd(12)} ${value}\n`).join('')}`;
}

/** Where this machine reaches what listens there. */
function urlOf({ host, port }: { host: string; port: number }): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') && !reached.startsWith('[') ? `[${reached}]` : reached}:${port}`;
}

/** A path as a person in this folder would type it. */
function fromHere(path: string): string {
  return relative(cwd(), path);
}
