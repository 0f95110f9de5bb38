import { join } from 'node:path';
import { stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { type Config, loadConfig } from '../config/config.ts';
import { environment } from '../config/environment.ts';
import { CopyRefused, copyStore } from '../storage/copy-store.ts';
import { findStoreFault } from '../storage/store-fault.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { STORE_KINDS, type StoreKind } from '../config/settings.ts';
import { lastStore, rememberStore } from '../config/store-settings.ts';
import { isLoopback } from '../config/wire-values.ts';
import { type Children, createChildren } from './local/children.ts';
import { localUrl } from './local/local-url.ts';
import { s3Place } from './local/plan-servers.ts';
import { answersOk, isTaken } from './local/probes.ts';
import { startServers } from './local/start-servers.ts';
import { printedSteps, type Steps } from './local/steps.ts';
import { stopSignal } from './local/stop-signal.ts';
import { describeStore, openStore } from './open-store.ts';
import { createRandomHex } from './random-hex.ts';

const HELP = `nightshift store copy --from embedded|s3 --to embedded|s3

Copies every object from one store to the other and checks each. The settings name both stores: NIGHTSHIFT_STORE_DIR and
NIGHTSHIFT_S3_…. Stop API and workers first. The target must be empty. If the copy is interrupted, run the same command again: it goes on where
it was, and until it has finished no process starts on the target. The source stays as it is.
`;

/** `nightshift store copy`. Answers the exit code. */
export async function storeCommand(args: string[]): Promise<number> {
  if (args.length === 0 || args.includes('--help') || args.includes('-h')) return (stdout.write(HELP), args.length === 0 ? 2 : 0);
  const options = { from: { type: 'string' }, to: { type: 'string' } } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const [from, to] = [kindOf(values.from), kindOf(values.to)];
  if (positionals.join(' ') !== 'copy' || from === null || to === null || from === to) return (stderr.write(HELP), 2);

  const env = environment();
  const configOf = (kind: StoreKind) => loadConfig({ ...env, NIGHTSHIFT_STORE: kind }, 'worker');
  const configs = { from: configOf(from), to: configOf(to) };
  await assertStopped(configs.from);
  const signal = stopSignal();
  const steps = printedSteps(stdout);
  const children = createChildren({ logs: join(configs.from.local.dataDir, 'logs'), signal, onRestart: () => undefined });
  const opened: ObjectStore[] = [];
  try {
    await startMinio(from === 's3' ? configs.from : configs.to, { children, steps, signal });
    const [source, target] = [openStore(configs.from), openStore(configs.to)];
    opened.push(source, target);
    await copy({ ...configs, source, target, steps, signal });
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CopyRefused('The copy was interrupted. Run the same command again; it goes on where it was.');
  } finally {
    for (const store of opened) store.close();
    await children.stop();
  }
  const { dataDir } = configs.to.local;
  if (lastStore(dataDir) !== null) rememberStore(dataDir, to);
  stdout.write(
    `\nStart with NIGHTSHIFT_STORE=${to} from now on (${to === 's3' ? '`npm start -- --minio`' : '`npm start`'}). Nothing was changed in ${describeStore(configs.from.store)}.\n`,
  );
  return 0;
}

function kindOf(given: string | undefined): StoreKind | null {
  return STORE_KINDS.find((kind) => kind === given) ?? null;
}

/** What writes while it is copied makes the copy useless. Workers cannot be seen from here. */
async function assertStopped({ api }: Config): Promise<void> {
  const url = localUrl(api);
  if (!(await answersOk(`${url}/health`))) return;
  throw new CopyRefused(`A Nightshift answers at ${url}. Stop API and workers, then run this again.`);
}

/** Starts the MinIO of the data folder where nothing answers at its address. */
async function startMinio(config: Config, run: { children: Children; steps: Steps; signal: AbortSignal }): Promise<void> {
  const { store } = config;
  if (store.kind !== 's3') return;
  const { host, port } = s3Place(store);
  if (!isLoopback(host) || (await isTaken(host, port))) return;
  await startServers(config, { temporal: false, minio: true }, run.children, run.steps, run.signal);
}

async function copy(given: {
  from: Config;
  to: Config;
  source: ObjectStore;
  target: ObjectStore;
  steps: Steps;
  signal: AbortSignal;
}): Promise<void> {
  const { source, target, signal } = given;
  const [from, to] = [describeStore(given.from.store), describeStore(given.to.store)];
  await source.ping();
  await target.ensureBucket();
  const fault = await findStoreFault(target, createRandomHex()(24));
  if (fault !== null) throw new CopyRefused(`${to} cannot be used: it ${fault}. docs/operations.md#stores has the conditions.`);
  const step = given.steps.begin(`copying ${from} to ${to}`);
  let [objects, bytes] = [0, 0];
  const onObject = (size: number) => {
    [objects, bytes] = [objects + 1, bytes + size];
    step.progress(`${objects} objects, ${megabytes(bytes)}`);
  };
  try {
    const result = await copyStore({ from: source, to: target, source: from, signal, onObject });
    const found = result.found === 0 ? '' : `, ${result.found} of them by an earlier run`;
    step.done(`${result.objects} objects, ${megabytes(result.bytes)}, all checked${found}`);
  } catch (error) {
    step.failed(`it ended after ${objects} objects`);
    throw error;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
