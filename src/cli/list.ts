import { stdout } from 'node:process';
import { createApiClient } from './api-client.ts';
import { readArguments, WrongCall } from './arguments.ts';
import { utc } from './describe-batch.ts';
import { count } from './progress-line.ts';

const HELP = `nightshift list [options]

Lists batches, newest first.

  --limit N   how many (20 unless given, at most 100)
  --after ID  go on after this batch
  --json      one batch per line as the API answers it
`;

/** `nightshift list`. */
export async function list(args: string[], api: { baseUrl: string; apiKey: string | null }): Promise<number> {
  const options = {
    limit: { type: 'string', default: '20' },
    after: { type: 'string' },
    json: { type: 'boolean', default: false },
  } as const;
  const { values, wantsHelp } = readArguments(args, 0, options, HELP);
  if (wantsHelp) return (stdout.write(HELP), 0);
  if (!/^\d+$/.test(values.limit)) throw new WrongCall('--limit takes a number.');
  const { data, has_more: hasMore } = await createApiClient(api).listBatches({ limit: Number(values.limit), after: values.after ?? null });
  for (const batch of data) {
    const { completed, failed, total } = batch.request_counts;
    const counts = `${count(completed + failed)} of ${count(total)}${failed === 0 ? '' : `, ${count(failed)} failed`}`;
    stdout.write(
      values.json
        ? `${JSON.stringify(batch)}\n`
        : `${batch.id}  ${utc(batch.created_at)}  ${batch.status.padEnd(11)}  ${batch.endpoint}  ${counts}\n`,
    );
  }
  if (hasMore && !values.json) stdout.write(`more: nightshift list --after ${data.at(-1)?.id ?? ''}\n`);
  return 0;
}
