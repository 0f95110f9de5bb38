import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { isSet } from './environment.ts';
import { STORE_KINDS, type Settings, type StoreKind } from './settings.ts';

/** Where the objects are: in a folder of this machine, or in a bucket of an S3 store. */
export type StoreConfig = { kind: 'embedded'; folder: string } | ({ kind: 's3' } & BucketConfig);

export interface BucketConfig {
  endpoint: string;
  bucket: string;
  region: string;
  /** What every key begins with; empty where the bucket is ours alone. */
  prefix: string;
  /** Where the credentials come from. */
  credentials: string;
}

const S3_SETTINGS = ['S3_ENDPOINT', 'S3_BUCKET', 'S3_PREFIX', 'S3_ACCESS_KEY', 'S3_SECRET_KEY'];

const recordSchema = z.object({ store: z.enum(STORE_KINDS) });

/**
 * The store of a process: the one that is set; else S3, where a setting of S3 has a value; else the embedded one for
 * `nightshift local`, and for other processes the one that `local` used last in this data folder, or S3.
 */
export function chooseStore(given: { settings: Settings; env: NodeJS.ProcessEnv; isLocal: boolean; dataDir: string }): StoreKind {
  const { settings, env, isLocal, dataDir } = given;
  if (settings.STORE !== undefined) return settings.STORE;
  if (S3_SETTINGS.some((name) => isSet(env, name))) return 's3';
  return isLocal ? 'embedded' : (lastStore(dataDir) ?? 's3');
}

/** The folder of the embedded store. */
export function storeFolder(settings: Settings, dataDir: string): string {
  return settings.STORE_DIR === undefined ? join(dataDir, 'store') : resolve(settings.STORE_DIR);
}

/** The store that `nightshift local` used last in this data folder; null if it never ran there. */
export function lastStore(dataDir: string): StoreKind | null {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(recordPath(dataDir), 'utf8'))).store;
  } catch {
    return null;
  }
}

/** Remembers the store of a data folder. */
export function rememberStore(dataDir: string, store: StoreKind): void {
  if (lastStore(dataDir) === store) return;
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(recordPath(dataDir), `${JSON.stringify({ store })}\n`);
}

/** Says that the data folder was used with the other store, whose files and batches this one does not show; null if it was not. */
export function otherStoreFault(dataDir: string, store: StoreKind): string | null {
  const last = lastStore(dataDir);
  if (last === null || last === store) return null;
  const names = { embedded: 'the embedded store', s3: 'MinIO or S3' } as const;
  const start =
    last === 'embedded' ? '`npm start` without --minio, or NIGHTSHIFT_STORE=embedded' : '`npm start -- --minio`, or NIGHTSHIFT_STORE=s3';
  return (
    `the data folder ${dataDir} was last used with ${names[last]}, and its files and batches are not in ${names[store]}. ` +
    `Go on with ${names[last]} (${start}), or copy everything first: \`nightshift store copy --from ${last} --to ${store}\`. ` +
    `To begin with an empty service, name another folder by NIGHTSHIFT_DATA_DIR, or remove ${recordPath(dataDir)}`
  );
}

function recordPath(dataDir: string): string {
  return join(dataDir, 'store.json');
}
