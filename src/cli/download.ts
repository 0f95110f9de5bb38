import { stdout } from 'node:process';
import { createApiClient } from './api-client.ts';
import { readArguments } from './arguments.ts';
import { CommandError } from './command-error.ts';
import { saveResults } from './save-results.ts';
import { isTerminal } from '../domain/batch.ts';

const HELP = `nightshift download ID [options]

Downloads the output and error file of a batch that has ended. Prints their paths.

  -o, --output DIR  where to put them (the working folder unless given)
`;

/** `nightshift download`. */
export async function download(args: string[], api: { baseUrl: string; apiKey: string | null }): Promise<number> {
  const { values, positionals, wantsHelp } = readArguments(args, 1, { output: { type: 'string', short: 'o', default: '.' } }, HELP);
  const [id = ''] = positionals;
  if (wantsHelp) return (stdout.write(HELP), 0);
  const client = createApiClient(api);
  const batch = await client.getBatch(id);
  if (!isTerminal(batch.status)) throw new CommandError(`${id} is ${batch.status}: its files come when it has ended.`);
  const saved = await saveResults(client, batch, values.output);
  if (saved.length === 0) throw new CommandError(`${id} is ${batch.status} and has no files.`);
  for (const path of saved) stdout.write(`${path}\n`);
  return 0;
}
