import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { cwd, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endOnUncaught } from './end-on-uncaught.ts';
import { type Config, loadConfig } from '../config/config.ts';
import { environment } from '../config/environment.ts';
import { SOURCE_EXTENSION } from '../domain/source-extension.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type Children, createChildren } from './local/children.ts';
import { localUrl } from './local/local-url.ts';
import { planServers, type ServerPlan, temporalPlace } from './local/plan-servers.ts';
import { answersOk } from './local/probes.ts';
import { describeOwnUpstream } from './local/own-upstream.ts';
import { runExample } from './local/run-example.ts';
import { started, startServers } from './local/start-servers.ts';
import { printedSteps, type Steps } from './local/steps.ts';
import { stopSignal } from './local/stop-signal.ts';
import { rememberStore } from '../config/store-settings.ts';
import { NODE_FLAGS } from './node-flags.ts';

const HELP = `nightshift local [options]

Runs everything on this machine: Temporal, the API, a worker and the example upstream, each as a process of its own.
A server that answers already is used. Objects are kept by the embedded store, in a folder. Objects, Temporal's data and logs
lie in NIGHTSHIFT_DATA_DIR (.nightshift). Ctrl-C ends all of it.

  --minio    keep objects in MinIO, which is started too (the same as NIGHTSHIFT_STORE=s3)
  --example  send the example batch through the API, if its requests go to the example upstream
  --exit     end everything after the example; exit code 0 only if it is completed
`;

const NIGHTSHIFT = fileURLToPath(new URL('../../bin/nightshift.mjs', import.meta.url));
const EXAMPLE_UPSTREAM = fileURLToPath(new URL(`../../examples/upstream${SOURCE_EXTENSION}`, import.meta.url));

/** `nightshift local`. Answers the exit code. */
export async function runLocal(args: string[]): Promise<number> {
  const options = {
    example: { type: 'boolean', default: false },
    exit: { type: 'boolean', default: false },
    minio: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return (stdout.write(HELP), 0);
  // Whoever reads along may go away; the servers stay.
  stdout.on('error', () => undefined);

  const config = loadConfig({ ...environment(), ...(values.minio ? { NIGHTSHIFT_STORE: 's3' } : {}) }, 'local');
  endOnUncaught(createLogger(config.log, 'local'));
  const plan = await planServers(config);
  await mkdir(config.local.dataDir, { recursive: true });
  rememberStore(config.local.dataDir, config.store.kind);
  const signal = stopSignal();
  const steps = printedSteps(stdout);
  const children = createChildren({
    logs: join(config.local.dataDir, 'logs'),
    signal,
    onRestart: (sentence) => stdout.write(`  ! ${sentence}\n`),
  });
  try {
    await startServers(config, plan, children, steps, signal);
    const apiUrl = localUrl(config.api);
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
    const step = steps.begin('ending: worker, API, example upstream and servers');
    await children.stop();
    step.done();
  }
}

/** What is ours. Started after the servers and so ended before them, the worker first. */
async function startOwn(config: Config, plan: ServerPlan, children: Children, steps: Steps, apiUrl: string): Promise<void> {
  const { exampleUpstreamPort } = config.local;
  const env = { NIGHTSHIFT_STORE: config.store.kind };
  const node = { command: process.execPath, graceMs: config.shutdownGraceMs + 5_000, env };
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

function addresses(config: Config, plan: ServerPlan, apiUrl: string): string {
  const { host } = temporalPlace(config);
  const rows = [
    ['API', `${apiUrl}/v1`],
    ['Temporal UI', plan.temporal ? `http://${host}:${config.local.temporalUiPort}` : `that of the server at ${config.temporal.address}`],
    ['Store', storeRow(config)],
    ['Logs', fromHere(join(config.local.dataDir, 'logs'))],
  ];
  return `\n${rows.map(([name, value]) => `  ${name?.padEnd(12)} ${value}\n`).join('')}`;
}

function storeRow({ store, local: { keysFile } }: Config): string {
  if (store.kind === 'embedded') return `embedded, in ${fromHere(store.folder)}`;
  return `S3 at ${store.endpoint}  (bucket ${store.bucket}${keysFile === null ? '' : `, keys in ${fromHere(keysFile)}`})`;
}

/** A path as a person in this folder would type it. */
function fromHere(path: string): string {
  return relative(cwd(), path);
}
