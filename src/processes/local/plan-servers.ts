import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { isLoopback } from '../../config/wire-values.ts';
import { type BucketConfig, otherStoreFault } from '../../config/store-settings.ts';
import { describeStore } from '../open-store.ts';
import { temporalAddress } from '../temporal-address.ts';
import { answersOk, storeFault, isS3, isTaken, isTemporal } from './probes.ts';
import { TEMPORAL_FILE_FLAGS, TEMPORAL_FLAGS } from './temporal-flags.ts';

/** Which servers are to be started; the others answer already and are used as they are, or are not needed. */
export interface ServerPlan {
  temporal: boolean;
  minio: boolean;
  upstream: boolean;
}

/** Host and port of an address. */
export interface Place {
  host: string;
  port: number;
}

/** Looks at every address before anything is started. Throws one `PlacesTaken` that names all that cannot be had, with their variables. */
export async function planServers(config: Config): Promise<ServerPlan> {
  const faults: string[] = [];
  const otherStore = otherStoreFault(config.local.dataDir, config.store.kind);
  if (otherStore !== null) throw new PlacesTaken([otherStore]);
  const { exampleUpstreamWanted, exampleUpstreamPort, temporalUiPort } = config.local;
  const example = { host: '127.0.0.1', port: exampleUpstreamPort };

  const [temporal, minio, upstream] = await Promise.all([
    decide(temporalPlace(config), 'NIGHTSHIFT_TEMPORAL_ADDRESS', 'Temporal server', async () => await isTemporal(temporalAddress(config))),
    needsMinio(),
    exampleUpstreamWanted
      ? decide(
          example,
          'NIGHTSHIFT_EXAMPLE_UPSTREAM_PORT',
          'example upstream',
          async () => await answersOk(`http://127.0.0.1:${exampleUpstreamPort}/health`),
        )
      : false,
  ]);
  if (temporal && (await isTaken(temporalPlace(config).host, temporalUiPort))) {
    faults.push(`port ${temporalUiPort}, meant for Temporal's web UI, is taken: set NIGHTSHIFT_TEMPORAL_UI_PORT`);
  }
  const { host, port } = config.api;
  if (port !== 0 && (await isTaken(host, port))) {
    const by = (await answersOk(`http://${host}:${port}/health`)) ? ', by another Nightshift as it seems' : '';
    faults.push(`port ${port}, meant for the API, is taken${by}: set NIGHTSHIFT_API_PORT`);
  }
  if (faults.length > 0) throw new PlacesTaken(faults);
  return { temporal, minio, upstream };

  async function needsMinio(): Promise<boolean> {
    const { store } = config;
    if (store.kind === 'embedded') {
      const fault = await storeFault(config);
      if (fault !== null) faults.push(`${describeStore(store)} cannot be used (${fault}): set NIGHTSHIFT_STORE_DIR`);
      return false;
    }
    const canHaveBucket = async () => {
      if (!(await isS3(store.endpoint))) return false;
      const fault = await storeFault(config);
      if (fault === null) return true;
      faults.push(
        `the S3 store that runs at ${store.endpoint} does not let us have the bucket ${store.bucket} (${fault}): set NIGHTSHIFT_S3_ACCESS_KEY and NIGHTSHIFT_S3_SECRET_KEY, or another NIGHTSHIFT_S3_ENDPOINT, where one is started`,
      );
      return true;
    };
    return await decide(s3Place(store), 'NIGHTSHIFT_S3_ENDPOINT', 'S3 store', canHaveBucket);
  }

  async function decide(place: Place, variable: string, what: string, answers: () => Promise<boolean>): Promise<boolean> {
    const where = `${place.host}:${place.port}`;
    if (await isTaken(place.host, place.port)) {
      if (await answers()) return false;
      faults.push(`${where} is taken by something that is no ${what}: set ${variable}`);
      return true;
    }
    if (!isLoopback(place.host))
      faults.push(`nothing answers at ${where}, and only a ${what} on this machine can be started: see ${variable}`);
    return true;
  }
}

/** Some addresses cannot be had; the message names each with its variable. */
class PlacesTaken extends Error {
  override readonly name = 'CommandError';

  constructor(faults: readonly string[]) {
    super(`Nightshift cannot start:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  }
}

/** Where Temporal is, or is to be. */
export function temporalPlace({ temporal }: Config): Place {
  const at = temporal.address.lastIndexOf(':');
  return { host: temporal.address.slice(0, at), port: Number(temporal.address.slice(at + 1)) };
}

/** Where the bucket's server is, or is to be. */
export function s3Place({ endpoint }: BucketConfig): Place {
  const { hostname, port, protocol } = new URL(endpoint);
  return { host: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
}

/** Arguments of Temporal's dev server: a database file in the data folder, tuned for many small activities. */
export function temporalArguments(config: Config, version: string): string[] {
  const { host, port } = temporalPlace(config);
  const args = ['server', 'start-dev', '--ip', host === 'localhost' ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''), '--port', String(port)];
  args.push('--ui-port', String(config.local.temporalUiPort), '--log-level', 'warn');
  if (config.temporal.namespace !== 'default') args.push('--namespace', config.temporal.namespace);
  // The database is never migrated, so every version has its own; what a new one lacks the sweep starts again.
  args.push('--db-filename', join(config.local.dataDir, `temporal-${version}.db`));
  args.push(...TEMPORAL_FILE_FLAGS, ...TEMPORAL_FLAGS);
  return args;
}
