import { stderr, stdout } from 'node:process';
import { createApiClient } from './api-client.ts';
import { readArguments } from './arguments.ts';
import { describeBatch } from './describe-batch.ts';
import { waitForBatch } from './wait-for-batch.ts';

const HELP = `nightshift status ID [options]

Shows a batch.

  --wait  show progress until it has ended
  --json  the batch as the API answers it
`;

/** `nightshift status`. */
export async function status(args: string[], api: { baseUrl: string; apiKey: string | null }): Promise<number> {
  const options = { wait: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } as const;
  const { values, positionals, wantsHelp } = readArguments(args, 1, options, HELP);
  const [id = ''] = positionals;
  if (wantsHelp) return (stdout.write(HELP), 0);
  const client = createApiClient(api);
  const found = await client.getBatch(id);
  const batch = values.wait ? await waitForBatch(client, id, stderr, new AbortController().signal) : found;
  stdout.write(values.json ? `${JSON.stringify(batch)}\n` : describeBatch(batch));
  return 0;
}
