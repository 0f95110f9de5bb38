import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where the processes of this test file write their logs, which the test runner keeps if the file fails; null without a runner. */
export function logFolder(): string | null {
  return process.env['TEST_LOG_FOLDER'] ?? null;
}

/** What a developer's shell may set, and what decides where the product and the SDKs send their requests. */
const SHELL_SETTINGS = /^(NIGHTSHIFT_(?!.*_BIN$)|OPENAI_)/;
/** A proxy of the shell is for pip, and for nothing that runs on this machine. */
const PAST_PROXIES = { NO_PROXY: '127.0.0.1,localhost', no_proxy: '127.0.0.1,localhost' };

/**
 * The environment for processes that tests start: that of this process without the settings of Nightshift and of the OpenAI SDKs, which a
 * developer may have set, and with these variables. Only the paths of server binaries are kept.
 */
export function testEnvironment(variables: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !SHELL_SETTINGS.test(name));
  return { ...Object.fromEntries(own), ...PAST_PROXIES, ...variables };
}

/** The environment for processes that must see nothing of this one: what Node needs, and these variables. */
export function bareEnvironment(variables: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  // Without the cache each start compiles everything again.
  return { PATH, ...(NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }), ...variables };
}

/**
 * What servers written in Go run with in tests. One processor and fewer garbage collections take a tenth less CPU time, because the threads
 * of a server that is mostly idle do not search for work.
 */
export const GO_SERVER = { GOMAXPROCS: '1', GOGC: '400', GODEBUG: 'asyncpreemptoff=1' } as const;

/** The working folder for processes of the product that tests start: it holds no `.env`, and keeps bundled workflows. */
export function workingFolder(): string {
  const folder = join(tmpdir(), 'nightshift-work');
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** What a healthy process of ours never logs. */
export const CRASH = /uncaught|unhandled|"level":"fatal"|FATAL ERROR/i;
