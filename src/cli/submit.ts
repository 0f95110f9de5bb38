import { randomUUID } from 'node:crypto';
import type { ApiClient } from './api-client.ts';
import { ApiFault } from './api-fault.ts';
import { type Context, defineCommand, type Values } from './command.ts';
import { WrongCall } from './command-error.ts';
import { awaitResults } from './await-results.ts';
import { openDelivery } from './deliver.ts';
import { EXIT } from './exit-codes.ts';
import { firstLine, firstUrl, urlOf } from './first-request.ts';
import type { Group } from './group.ts';
import { awaitGroupResults } from './group-commands.ts';
import { openInput } from './open-input.ts';
import { needsGroup, submitGroup } from './submit-group.ts';
import { uploadShown } from './upload-shown.ts';
import type { Batch } from '../domain/batch.ts';

const OPTIONS = {
  endpoint: { type: 'string', value: 'PATH', help: 'endpoint of all lines; by default the url of the first line' },
  'completion-window': { type: 'string', value: 'TIME', default: '24h', help: 'time until the batch expires; 24h by default' },
  metadata: { type: 'string', value: 'KEY=VALUE', multiple: true, help: 'may be given several times' },
  wait: { type: 'boolean', help: 'show progress until the batch has ended, then download its files' },
  output: { type: 'string', short: 'o', value: 'DIR', help: 'folder of the results, or - for stdout; implies --wait' },
  force: { type: 'boolean', help: 'replace results that are there already' },
  'file-id': { type: 'string', value: 'ID', help: 'a file that has been uploaded, in place of FILE' },
  'idempotency-key': { type: 'string', value: 'KEY', help: 'a create repeated with the same key makes no second batch' },
  json: { type: 'boolean', help: 'print the batch as JSON' },
} as const;

/** `nightshift submit`. */
export const submit = defineCommand({
  usage: 'submit FILE [options]',
  about: `
Uploads a file of requests (JSONL, also packed with gzip; - for standard input) and makes a batch of it. Prints the batch's id.
A create that got no answer is repeated without making a second batch.
An input that is larger than one batch is cut into a group of batches. Prints the group's id, which status, wait, cancel, retry
and download take like that of a batch. The same command goes on where it was interrupted.
With --wait the exit code tells how the batch ended: 0 completed, 3 some lines failed, 4 failed, expired or cancelled.`,
  options: OPTIONS,
  words: [0, 1],
  async run(values, [path], context) {
    const { output } = context;
    const fileId = values['file-id'];
    if ((path === undefined) === (fileId === undefined)) throw new WrongCall('Give either a FILE or --file-id.');
    const metadata = readMetadata(values.metadata);
    const { client } = context.api();
    const isAwaited = values.wait || values.output !== undefined;
    const delivery = isAwaited ? await openDelivery(values.output ?? '.') : null;

    const input =
      fileId === undefined ? await upload(client, path ?? '', { values, metadata, context }) : await known(client, fileId, values);
    if ('parts' in input) {
      if (delivery === null) return EXIT.ok;
      return await awaitGroupResults(client, input, { delivery, force: values.force, asJson: values.json, context });
    }
    const batch = await create(client, { ...input, metadata, values, context });
    const idGoesToStdout = !values.json && delivery?.isStdout !== true;
    if (idGoesToStdout) output.print(`${batch.id}\n`);
    else if (isAwaited) output.note(`batch ${batch.id}`);
    if (delivery === null) {
      if (values.json) output.printJson(batch);
      return EXIT.ok;
    }
    return await awaitResults(client, batch, { delivery, force: values.force, asJson: values.json, context });
  },
});

interface Input {
  fileId: string;
  endpoint: string;
}

/** Uploads an input that fits into one batch. Of a larger one it makes a group. */
async function upload(
  client: ApiClient,
  path: string,
  { values, metadata, context }: { values: Values<typeof OPTIONS>; metadata: Record<string, string>; context: Context },
): Promise<Input | Group> {
  const { output, signal, stdin } = context;
  if (path === '-' && stdin.isTTY) output.note('Type the requests, one per line; Ctrl-D ends.');
  await using input = await openInput(path, { stdin, signal });
  const endpoint = values.endpoint ?? (await firstUrl(input));
  const limits = await client.limits();
  if (await needsGroup(input, endpoint, { limits, signal })) {
    return await submitGroup(client, {
      input,
      request: { endpoint, completion_window: values['completion-window'], metadata },
      limits,
      salt: values['idempotency-key'] ?? '',
      context,
      onGroup: (id) => (values.json || values.output === '-' ? output.note(`group ${id}`) : output.print(`${id}\n`)),
      onBatch: (batch) =>
        values.json && values.output === undefined && !values.wait ? output.printJson(batch) : output.note(`batch ${batch.id}`),
    });
  }
  const file = await uploadShown(client, input, { output });
  return { fileId: file.id, endpoint };
}

/** A file that is there already. Its first line is read from the API. */
async function known(client: ApiClient, fileId: string, values: Values<typeof OPTIONS>): Promise<Input> {
  const endpoint = values.endpoint ?? urlOf(await firstLine(client.readContent(fileId, 0)), fileId);
  return { fileId, endpoint };
}

async function create(
  client: ApiClient,
  given: Input & { metadata: Record<string, string>; values: Values<typeof OPTIONS>; context: Context },
): Promise<Batch> {
  const { fileId, endpoint, metadata, values, context } = given;
  const idempotencyKey = values['idempotency-key'] ?? randomUUID();
  try {
    return await client.createBatch(
      {
        input_file_id: fileId,
        endpoint,
        completion_window: values['completion-window'],
        ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
      },
      idempotencyKey,
    );
  } catch (error) {
    // After a refusal no batch exists; otherwise the batch may exist, and only the same key finds it.
    const isRefused = error instanceof ApiFault && !error.isTransient;
    context.output.warn(
      `The input is stored as ${fileId}. To go on without uploading it again, give in place of the file:\n` +
        `  --file-id ${fileId} --endpoint ${endpoint}${isRefused ? '' : ` --idempotency-key ${idempotencyKey}`}`,
    );
    throw error;
  }
}

function readMetadata(pairs: readonly string[]): Record<string, string> {
  const entries = pairs.map((pair): [string, string] => {
    const at = pair.indexOf('=');
    if (at < 1) throw new WrongCall(`--metadata is ${JSON.stringify(pair)}, but it takes KEY=VALUE.`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return Object.fromEntries(entries);
}
