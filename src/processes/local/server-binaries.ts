import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The servers that Nightshift can run by itself, with the version it is built against. */
export const SERVER_BINARIES = {
  temporal: { version: '1.9.1', variable: 'NIGHTSHIFT_TEMPORAL_BIN' },
  'temporal-test-server': { version: '1.40.0', variable: 'NIGHTSHIFT_TEMPORAL_TEST_SERVER_BIN' },
  minio: { version: '20260212201848', variable: 'NIGHTSHIFT_MINIO_BIN' },
} as const;
export type ServerName = keyof typeof SERVER_BINARIES;

/** Path of a server's binary: named by the environment, on PATH, in the cache, or fetched into it. */
export async function serverBinary(name: ServerName): Promise<string> {
  const { version } = SERVER_BINARIES[name];
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'nightshift');
  const path = join(cache, `${name}-${version}`, name);
  await access(path);
  return path;
}
