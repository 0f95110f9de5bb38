import { stderr, stdout } from 'node:process';
import { ConfigError } from '../config/config-error.ts';
import { loadConfig, printable, type Role } from '../config/config.ts';
import { environment } from '../config/environment.ts';

const HELP = `nightshift config [api|worker|local]

Checks the settings as \`api\` and \`worker\` do (or as the named one does) and starts nothing. It prints
the configuration as JSON, without secrets, and warnings to stderr. With a fault it names all faults and ends with exit code 2.
`;

const ROLES: readonly Role[] = ['api', 'worker', 'local'];

/** `nightshift config`. Answers the exit code. Throws one `ConfigError` with the faults of all roles that were asked for. */
export async function showConfig(args: string[]): Promise<number> {
  if (args[0] === '--help' || args[0] === '-h') return (stdout.write(HELP), 0);
  const roles = args.length === 0 ? (['api', 'worker'] as const) : ROLES.filter((role) => role === args[0]);
  if (args.length > 1 || roles.length === 0) return (stderr.write(HELP), 2);

  const env = environment();
  const faults: string[] = [];
  const configs = roles.flatMap((role) => {
    try {
      return [loadConfig(env, role, { makesKeys: false })];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.push(...error.faults);
      return [];
    }
  });
  if (faults.length > 0) throw new ConfigError([...new Set(faults)]);
  for (const warning of new Set(configs.flatMap(({ warnings }) => warnings))) stderr.write(`Warning: ${warning}\n`);
  // The worker's holds all that the API's does, and the upstreams.
  const [config] = configs.slice(-1);
  if (config !== undefined) stdout.write(`${JSON.stringify(printable(config), null, 2)}\n`);
  return await Promise.resolve(0);
}
