import { stdout } from 'node:process';
import { createApiClient } from './api-client.ts';
import { readArguments } from './arguments.ts';

const HELP = `nightshift cancel ID

Cancels a batch. What is answered already is published; requests in flight get a short grace.
`;

/** `nightshift cancel`. */
export async function cancel(args: string[], api: { baseUrl: string; apiKey: string | null }): Promise<number> {
  const { positionals, wantsHelp } = readArguments(args, 1, {}, HELP);
  const [id = ''] = positionals;
  if (wantsHelp) return (stdout.write(HELP), 0);
  const batch = await createApiClient(api).cancelBatch(id);
  stdout.write(`${batch.id} is ${batch.status}\n`);
  return 0;
}
