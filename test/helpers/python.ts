import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Longest that one step may take: pip waits for its index without an end otherwise. */
const STEP_TIMEOUT_MS = 300_000;
const run = async (command: string, args: string[]) => await promisify(execFile)(command, args, { timeout: STEP_TIMEOUT_MS });
const SDK = fileURLToPath(new URL('../e2e/python/requirements.txt', import.meta.url));

/** Path of a Python interpreter that has the pinned official SDK (see `pythonWith`). */
export async function pythonWithSdk(): Promise<string> {
  return await pythonWith(SDK);
}

/**
 * Path of a Python interpreter that has the packages of a requirements file. The environment is made once per user and
 * content of that file; throws when neither `python3 -m venv` nor `uv` can make one. `make` makes it in a folder.
 */
export async function pythonWith(requirements: string, { cache = userCache(), make = install } = {}): Promise<string> {
  const hash = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex');
  const environment = join(cache, `python-${hash.slice(0, 16)}`);
  const interpreter = join(environment, 'bin', 'python');
  if (await exists(interpreter)) return interpreter;

  await mkdir(dirname(environment), { recursive: true });
  // Made aside and renamed: test processes that run at the same time never see half an environment, and the first rename
  // wins. Only `bin/python` is used, which finds its packages relative to itself, so the move breaks nothing.
  const aside = await mkdtemp(`${environment}-`);
  try {
    await make(aside, requirements);
    await rename(aside, environment);
  } catch (error) {
    if (!(await exists(interpreter))) throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return interpreter;
}

async function install(environment: string, requirements: string): Promise<void> {
  const python = join(environment, 'bin', 'python');
  try {
    await run('python3', ['-m', 'venv', environment]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  } catch (fromVenv) {
    try {
      await run('uv', ['venv', '--quiet', '--clear', environment]);
      await run('uv', ['pip', 'install', '--quiet', '--python', python, '-r', requirements]);
    } catch (fromUv) {
      throw new AggregateError(
        [fromVenv, fromUv],
        `no Python environment for ${requirements}: python3 with venv and pip, or uv, is needed`,
      );
    }
  }
}

function userCache(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'nightshift');
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
