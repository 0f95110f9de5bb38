#!/usr/bin/env node
import { flushCompileCache } from 'node:module';
import { argv, exit, stderr, stdout } from 'node:process';
import type { ClientConfig } from './config.ts';
import packageJson from '../package.json' with { type: 'json' };

/**
 * The one binary. Loads the chosen command and nothing else, so that `status` never waits for Temporal's native core.
 */

/** Runs a command with its arguments; answers the exit code. */
type Command = (args: string[]) => Promise<number>;

const COMMANDS: Record<string, { summary: string; load: () => Promise<Command> }> = {
  local: {
    summary: 'everything on this machine: Temporal, MinIO, API and worker',
    load: async () => (await import('./processes/run-local.ts')).runLocal,
  },
  api: { summary: 'the HTTP API', load: async () => (await import('./processes/serve-api.ts')).serveApi },
  worker: { summary: 'a worker: workflows and requests', load: async () => (await import('./processes/run-worker.ts')).runWorker },
  submit: { summary: 'upload a file and make a batch of it', load: async () => asClient((await import('./cli/submit.ts')).submit) },
  status: { summary: 'show a batch', load: async () => asClient((await import('./cli/status.ts')).status) },
  list: { summary: 'list batches, newest first', load: async () => asClient((await import('./cli/list.ts')).list) },
  cancel: { summary: 'cancel a batch', load: async () => asClient((await import('./cli/cancel.ts')).cancel) },
  download: { summary: 'download the results of a batch', load: async () => asClient((await import('./cli/download.ts')).download) },
};

const HELP = `Nightshift: an OpenAI-compatible Batch API of your own.

Usage: nightshift COMMAND [options]

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`)
  .join('\n')}

nightshift COMMAND --help tells more, nightshift --version which one this is. Settings are environment variables: docs/configuration.md.
`;

/** Tells a command of the client where its API is. */
async function asClient(command: (args: string[], api: ClientConfig) => Promise<number>): Promise<Command> {
  const { environment, loadClientConfig } = await import('./config.ts');
  return async (args) => await command(args, loadClientConfig(environment()));
}

/** Runs the command line; the exit code is 0 for success, 1 for failure, 2 for a wrong call or configuration. */
async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    (name === undefined ? stderr : stdout).write(HELP);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v') return (stdout.write(`${packageJson.version}\n`), 0);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    stderr.write(`There is no command ${name}.\n\n${HELP}`);
    return 2;
  }
  try {
    const run = await command.load();
    flushCompileCache();
    return await run(args);
  } catch (error) {
    const { message, exitCode } = explain(error);
    stderr.write(`${message}\n`);
    return exitCode;
  }
}

/** A wrong call, configuration or answer is one sentence; everything else is a defect of ours and shows where. */
function explain(error: unknown): { message: string; exitCode: number } {
  if (!(error instanceof Error)) return { message: String(error), exitCode: 1 };
  const wrongCall = 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  if (wrongCall || error.name === 'ConfigError') return { message: error.message, exitCode: 2 };
  return { message: error.name === 'CommandError' ? error.message : (error.stack ?? error.message), exitCode: 1 };
}

exit(await main(argv.slice(2)));
