#!/usr/bin/env node
import { flushCompileCache } from 'node:module';
import { argv, exit, stderr, stdout } from 'node:process';
import { CLIENT_COMMANDS } from './cli/commands.ts';
import { EXIT } from './cli/exit-codes.ts';
import packageJson from '../package.json' with { type: 'json' };

/**
 * The one binary. Loads the chosen command and nothing else, so that `status` never waits for Temporal's native core.
 */

/** Runs a command with its arguments; answers the exit code. */
type ServerCommand = (args: string[]) => Promise<number>;

const SERVER_COMMANDS: Record<string, { summary: string; load: () => Promise<ServerCommand> }> = {
  local: {
    summary: 'everything on this machine: Temporal, API and worker',
    load: async () => (await import('./processes/run-local.ts')).runLocal,
  },
  api: { summary: 'the HTTP API', load: async () => withoutArguments('api', (await import('./processes/serve-api.ts')).serveApi) },
  worker: {
    summary: 'a worker: workflows and requests',
    load: async () => withoutArguments('worker', (await import('./processes/run-worker.ts')).runWorker),
  },
  store: { summary: 'copy everything to another store', load: async () => (await import('./processes/store-command.ts')).storeCommand },
  config: { summary: 'check the settings and show them', load: async () => (await import('./processes/show-config.ts')).showConfig },
};

const HELP = `Nightshift: an OpenAI-compatible Batch API of your own.

Usage: nightshift COMMAND [options]

Use a service:
${summaries(CLIENT_COMMANDS)}
Run one:
${summaries(SERVER_COMMANDS)}
nightshift help COMMAND tells more, nightshift --version which version this is. Settings are environment variables:
docs/command-line.md has those of the client, docs/configuration.md those of the service.
`;

/** Runs the command line and returns the exit code (src/cli/exit-codes.ts). */
async function main(args: string[]): Promise<number> {
  const [first] = args;
  if (first === undefined) return (stderr.write(HELP), EXIT.usage);
  if (first === '--version' || first === '-v') return (stdout.write(`${packageJson.version}\n`), EXIT.ok);
  const asksHelp = first === 'help' || first === '--help' || first === '-h';
  if (asksHelp && args.length === 1) return (stdout.write(HELP), EXIT.ok);
  try {
    return asksHelp ? await run([...args.slice(1), '--help']) : await run(args);
  } catch (error) {
    const { message, exitCode } = await explain(error);
    const { lines } = await import('./cli/terminal-text.ts');
    stderr.write(`${lines(message)}\n`);
    return exitCode;
  }
}

async function run(args: string[]): Promise<number> {
  const [first = '', second = ''] = args;
  const name = Object.keys(CLIENT_COMMANDS).find((each) => each === first || each === `${first} ${second}`);
  if (name !== undefined) {
    const command = await CLIENT_COMMANDS[name]?.load();
    const { runCommand } = await import('./cli/run-command.ts');
    if (command !== undefined) return await runCommand(command, args.slice(name.split(' ').length), await clientSettings(name));
  }
  const server = Object.hasOwn(SERVER_COMMANDS, first) ? SERVER_COMMANDS[first] : undefined;
  if (server !== undefined) {
    const command = await server.load();
    flushCompileCache();
    return await command(args.slice(1));
  }
  const group = Object.entries(CLIENT_COMMANDS).filter(([each]) => each.startsWith(`${first} `));
  if (group.length === 0) return (stderr.write(`There is no command ${JSON.stringify(first)}.\n\n${HELP}`), EXIT.usage);
  const isHelp = second === '--help' || second === '-h';
  const wrong = isHelp || second === '' ? '' : `There is no command ${JSON.stringify(`${first} ${second}`)}.\n\n`;
  (isHelp ? stdout : stderr).write(`${wrong}Usage: nightshift ${first} COMMAND [options]\n\n${summaries(Object.fromEntries(group))}`);
  return isHelp ? EXIT.ok : EXIT.usage;
}

/** Tells a command of the client where its API is. */
async function clientSettings(name: string) {
  const { clientEnvironment, enterUserFolder } = await import('./config/environment.ts');
  const { loadClientConfig } = await import('./config/client-settings.ts');
  const environment = clientEnvironment();
  // What `doctor --server` looks at is named relative to the package.
  if (name !== 'doctor') enterUserFolder();
  return {
    address: (options: { baseUrl: string | null; apiKey: string | null }) => loadClientConfig({ options, ...environment }),
    checkServer: async () => await (await import('./processes/check-server.ts')).checkServer(),
  };
}

/** Servers are told everything by settings. */
function withoutArguments(name: string, command: ServerCommand): ServerCommand {
  return async (args) => {
    const wrong = args.find((each) => each !== '--help' && each !== '-h');
    if (wrong === undefined) return await command(args);
    stderr.write(
      `nightshift ${name} takes no arguments, but ${JSON.stringify(wrong)} was given. Its settings are environment variables: docs/configuration.md\n`,
    );
    return EXIT.usage;
  };
}

function summaries(commands: Readonly<Record<string, { summary: string }>>): string {
  return Object.entries(commands)
    .map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}\n`)
    .join('');
}

/** What the user can mend is one sentence; everything else is a defect of ours and shows where. */
async function explain(error: unknown): Promise<{ message: string; exitCode: number }> {
  if (!(error instanceof Error)) return { message: String(error), exitCode: EXIT.error };
  const isWrongCall = 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  if (isWrongCall || error.name === 'ConfigError') return { message: error.message, exitCode: EXIT.usage };
  const ownCode = 'exitCode' in error && typeof error.exitCode === 'number' ? error.exitCode : EXIT.error;
  if (error.name === 'CommandError') return { message: error.message, exitCode: ownCode };
  const { fileReason } = await import('./cli/file-reason.ts');
  const reason = fileReason(error);
  const path = 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
  return { message: reason === null ? (error.stack ?? error.message) : `${path}${reason}.`, exitCode: EXIT.error };
}

// Nobody may be left to read the last words.
stdout.on('error', () => {});
stderr.on('error', () => {});
const code = await main(argv.slice(2));
// What is still to be written is written before the process ends: a reader of a pipe may be slower than we are.
for (const stream of [stdout, stderr])
  await new Promise<void>((resolve) => (stream.destroyed ? resolve() : stream.write('', () => resolve())));
exit(code);
