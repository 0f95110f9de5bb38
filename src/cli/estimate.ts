import type { ApiClient } from './api-client.ts';
import { CommandError } from './command-error.ts';
import { type Context, defineCommand } from './command.ts';
import { describeErrors } from './describe-batch.ts';
import { describeRows, type Row } from './describe-rows.ts';
import { EXIT } from './exit-codes.ts';
import { firstLine, firstUrl, urlOf } from './first-request.ts';
import { openInput } from './open-input.ts';
import { count, duration } from './progress-line.ts';
import { uploadShown } from './upload-shown.ts';
import type { BatchEstimate } from '../domain/batch-estimate.ts';

/** How ids of files begin, here and at OpenAI. */
const FILE_ID = /^file-[\w-]+$/;

/** `nightshift estimate`. */
export const estimate = defineCommand({
  usage: 'estimate FILE_ID|FILE [options]',
  about: `
Asks the API what a batch of a file would amount to: faults, requests, models and their upstreams, tokens, time and cost. A FILE of this
machine is uploaded first, and stays there, so that submit --file-id can use it. The exit code is 0 for a batch that would run, else 1.`,
  options: {
    endpoint: { type: 'string', value: 'PATH', help: 'endpoint of all lines; by default the url of the first line' },
    'completion-window': { type: 'string', value: 'TIME', default: '24h', help: 'as of the batch; 24h by default' },
    json: { type: 'boolean', help: 'the estimate as the API answers it' },
  },
  words: [1, 1],
  async run(values, [given = ''], context) {
    const { output } = context;
    const { client } = context.api();
    const { fileId, endpoint } = FILE_ID.test(given)
      ? { fileId: given, endpoint: values.endpoint ?? urlOf(await firstLine(client.readContent(given, 0)), given) }
      : await upload(client, given, values.endpoint, context);
    const found = await client.estimateBatch({ input_file_id: fileId, endpoint, completion_window: values['completion-window'] });
    if (values.json) output.printJson(found);
    else output.print(describe(found));
    const { errors } = found;
    if (found.valid) return EXIT.ok;
    throw new CommandError(`${given} has ${count(errors?.data.length ?? 0)} faults: the batch would fail.`);
  },
});

async function upload(
  client: ApiClient,
  path: string,
  endpoint: string | undefined,
  { output, signal, stdin }: Context,
): Promise<{ fileId: string; endpoint: string }> {
  await using input = await openInput(path, { stdin, signal });
  const url = endpoint ?? (await firstUrl(input));
  const file = await uploadShown(client, input, { output });
  output.note(`uploaded as ${file.id}. To make a batch of it: nightshift submit --file-id ${file.id} --endpoint ${url}`);
  return { fileId: file.id, endpoint: url };
}

function describe(found: BatchEstimate): string {
  return describeRows([
    ...describeErrors(found).map((text): Row => ['error', text]),
    ['requests', `${count(found.requests)} for ${found.endpoint}`],
    ...found.models.map((model): Row => ['model', describeModel(model)]),
    ['tokens', describeTokens(found)],
    ['time', found.seconds === null ? 'not known' : `about ${duration(found.seconds)}, if no other batch runs`],
    ['cost', describeCost(found.cost) ?? 'not known'],
  ]);
}

function describeModel({ model, upstream, upstream_model: calledThere, requests, cost }: BatchEstimate['models'][number]): string {
  const where = upstream === null ? null : calledThere === model ? `upstream ${upstream}` : `upstream ${upstream} as ${calledThere ?? ''}`;
  return [model ?? 'none or others', `${count(requests)} requests`, where, describeCost(cost)].filter((each) => each !== null).join(', ');
}

function describeTokens({ input_tokens: input, max_output_tokens: most, requests_with_media: media }: BatchEstimate): string {
  const output = most === null ? 'output not limited' : `at most ${count(most)} out`;
  const left = media === 0 ? '' : `; those of pictures, sound and files in ${count(media)} requests are not counted`;
  return `about ${count(input)} in (four bytes of text each), ${output}${left}`;
}

function describeCost(cost: BatchEstimate['cost']): string | null {
  if (cost === null) return null;
  const most = cost.max_total === null ? 'for the input, the output is not limited' : `for the input, at most ${cost.max_total} in all`;
  return `${cost.input} ${cost.currency} ${most}`;
}
