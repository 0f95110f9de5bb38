import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { temporalAddress } from '../temporal-address.ts';
import type { Children } from './children.ts';
import { s3Place, type ServerPlan, temporalArguments, temporalPlace } from './plan-servers.ts';
import { answersOk, isTaken, isTemporal } from './probes.ts';
import { runCommand } from './run-command.ts';
import { serverBinary } from './server-binaries.ts';
import type { Steps } from './steps.ts';

const SERVER_GRACE_MS = 10_000;

/** Temporal and MinIO, found or fetched, where none answers yet. */
export async function startServers(
  config: Config,
  plan: Pick<ServerPlan, 'temporal' | 'minio'>,
  children: Children,
  steps: Steps,
  signal: AbortSignal,
): Promise<void> {
  // One after the other, so that what is fetched is told in order.
  const temporal = plan.temporal ? await serverBinary('temporal', steps, signal) : null;
  const minio = plan.minio ? await serverBinary('minio', steps, signal) : null;
  const {
    store,
    secrets: { s3 },
  } = config;
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
  if (minio !== null && store.kind === 's3' && s3 !== null && s3.from !== 'AWS') {
    const { host, port } = s3Place(store);
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
    const isReady = async () => await answersOk(`${store.endpoint}/minio/health/ready`);
    await started(
      steps,
      `MinIO at ${store.endpoint}`,
      async () => await children.start({ name: 'minio', command: minio, args, env, graceMs: SERVER_GRACE_MS, isReady }),
    );
  }
}

/** Shows how long a start takes, and whether it worked. */
export async function started(steps: Steps, what: string, start: () => Promise<void>): Promise<void> {
  const step = steps.begin(what);
  try {
    await start();
    step.done();
  } catch (error) {
    step.failed('it did not start');
    throw error;
  }
}
