import { existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { ConfigError } from './config-error.ts';
import { PREFIX } from './settings.ts';

/** The environment of this process, with the `.env` file of the working folder below it. Throws `ConfigError` when that cannot be read. */
export function environment(): NodeJS.ProcessEnv {
  try {
    process.loadEnvFile();
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!missing) throw new ConfigError([`.env cannot be read: ${error instanceof Error ? error.message : String(error)}`]);
  }
  return process.env;
}

/** What a command of the client reads: the environment, and the `.env` file of the working folder apart from it. */
export function clientEnvironment(): { env: NodeJS.ProcessEnv; file: NodeJS.Dict<string> } {
  try {
    return { env: process.env, file: existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {} };
  } catch (error) {
    throw new ConfigError([`.env cannot be read: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

/** Goes to the folder where the user typed the command: npm runs its scripts in the folder of the package. */
export function enterUserFolder(): void {
  const { INIT_CWD: folder, npm_lifecycle_event: script } = process.env;
  if (script === 'nightshift' && folder !== undefined) process.chdir(folder);
}

/** Whether a variable of ours, named without its prefix, has a value. An empty one counts as none. */
export function isSet(env: Readonly<Record<string, string | undefined>>, name: string): boolean {
  return (env[PREFIX + name] ?? '') !== '';
}
