import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { stderr, stdout } from 'node:process';
import { createApiClient } from './api-client.ts';
import { readArguments, WrongCall } from './arguments.ts';
import { CommandError } from './command-error.ts';
import { describeBatch } from './describe-batch.ts';
import { saveResults } from './save-results.ts';
import { waitForBatch } from './wait-for-batch.ts';

const HELP = `nightshift submit FILE [options]

Uploads a JSONL file of requests and makes a batch of it. Prints the batch's id.

  --endpoint PATH           the endpoint of all lines; left out, the url of the first line
  --completion-window TIME  24h unless given
  --metadata KEY=VALUE      may be given several times
  --wait                    show progress until the batch has ended, then download its files
  -o, --output DIR          where to put them (the working folder unless given); implies --wait

With --wait the exit code is 0 only if the batch is completed and no line failed.
`;

/** `nightshift submit`. */
export async function submit(args: string[], api: { baseUrl: string; apiKey: string | null }): Promise<number> {
  const { values, positionals, wantsHelp } = readArguments(
    args,
    1,
    {
      endpoint: { type: 'string' },
      'completion-window': { type: 'string', default: '24h' },
      metadata: { type: 'string', multiple: true, default: [] },
      wait: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o' },
    },
    HELP,
  );
  const [path = ''] = positionals;
  if (wantsHelp) return (stdout.write(HELP), 0);

  const metadata = readMetadata(values.metadata);
  const client = createApiClient(api);
  const endpoint = values.endpoint ?? (await firstUrl(path));
  const file = await client.uploadFile(path);
  const batch = await client.createBatch({
    input_file_id: file.id,
    endpoint,
    completion_window: values['completion-window'],
    ...(values.metadata.length === 0 ? {} : { metadata }),
  });
  stdout.write(`${batch.id}\n`);
  if (!values.wait && values.output === undefined) return 0;

  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once('SIGINT', onInterrupt);
  try {
    const ended = await waitForBatch(client, batch.id, stderr, interrupted.signal);
    const saved = await saveResults(client, ended, values.output ?? '.');
    stderr.write(describeBatch(ended));
    for (const each of saved) stdout.write(`${each}\n`);
    return ended.status === 'completed' && ended.request_counts.failed === 0 ? 0 : 1;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    stderr.write(`The batch goes on. Look at it: nightshift status ${batch.id}\n`);
    return 130;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}

function readMetadata(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new WrongCall(`--metadata takes KEY=VALUE, not ${JSON.stringify(pair)}.`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** The `url` of the first line, which is the endpoint of the whole file. */
async function firstUrl(path: string): Promise<string> {
  const input = createReadStream(path);
  try {
    for await (const line of createInterface({ input })) {
      const text = line.replace(/^\uFEFF/, '').trim();
      if (text === '') continue;
      const { url }: { url?: unknown } = Object(JSON.parse(text));
      if (typeof url === 'string') return url;
      break;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw new CommandError(`${path} cannot be read.`, { cause: error });
  } finally {
    input.destroy();
  }
  throw new WrongCall(`The first line of ${path} names no url: give --endpoint.`);
}
