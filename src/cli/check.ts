import { CommandError } from './command-error.ts';
import { defineCommand } from './command.ts';
import { describeFault } from './describe-batch.ts';
import { EXIT } from './exit-codes.ts';
import { firstUrl } from './first-request.ts';
import { openInput } from './open-input.ts';
import { bytes, count } from './progress-line.ts';
import { type ScannedInput, scanInput } from './scan-input.ts';
import { TOKEN_METHOD } from '../domain/estimate-tokens.ts';
import { DEFAULT_LIMITS } from '../domain/limits.ts';

/** `nightshift check`. */
export const check = defineCommand({
  usage: 'check FILE [options]',
  about: `
Checks a file of requests (JSONL, also packed with gzip; - for standard input) on this machine, without sending it: every line as the API
checks it, and the default limits. Prints every fault with its line, and how many requests, models and tokens there are. What only the API
knows is not checked: which models it serves, and its own limits. The exit code is 0 for a good file and 1 for one with faults.`,
  options: {
    endpoint: { type: 'string', value: 'PATH', help: 'endpoint of all lines; by default the url of the first line' },
    json: { type: 'boolean', help: 'print requests, models, tokens and errors as JSON' },
  },
  words: [1, 1],
  async run(values, [path = ''], { output, signal, stdin }) {
    await using input = await openInput(path, { stdin, signal });
    const endpoint = values.endpoint ?? (await firstUrl(input));
    const found = await scanInput(input, { endpoint, limits: DEFAULT_LIMITS, signal });
    const isGood = found.errors.length === 0;
    if (values.json) output.printJson(asJson(found, endpoint));
    else {
      for (const each of found.errors) output.print(`${describeFault(each)}\n`);
      output.print(`${input.name} ${isGood ? 'is good' : 'has faults'}: ${describe(found, { endpoint, size: input.bytes })}\n`);
    }
    if (isGood && found.parts.length > 1) {
      output.note(`It is larger than one batch may be by default. nightshift submit cuts it into ${found.parts.length} batches.`);
    }
    if (!isGood) throw new CommandError(`${input.name} has ${count(found.errors.length)} faults: the API would refuse it.`);
    return EXIT.ok;
  },
});

function describe(found: ScannedInput, { endpoint, size }: { endpoint: string; size: number }): string {
  const models = found.models.map(({ text, size: lines }) => `${text} (${count(lines)})`);
  return [
    `${count(found.requests)} requests for ${endpoint}`,
    bytes(size),
    `about ${count(found.inputTokens)} input tokens`,
    found.withMedia > 0 ? `without those of pictures, sound and files in ${count(found.withMedia)} requests` : null,
    found.maxOutputTokens === null ? null : `at most ${count(found.maxOutputTokens)} output tokens`,
    found.duplicateIds > 0 ? `${count(found.duplicateIds)} repeated custom_ids` : null,
    `models: ${models.join(', ') || 'none named'}`,
  ]
    .filter((each) => each !== null)
    .join(', ');
}

function asJson(found: ScannedInput, endpoint: string): object {
  return {
    requests: found.requests,
    endpoint,
    models: found.models.map(({ text }) => text),
    requests_by_model: Object.fromEntries(found.models.map(({ text, size }) => [text, size])),
    duplicate_custom_ids: found.duplicateIds,
    input_tokens: found.inputTokens,
    max_output_tokens: found.maxOutputTokens,
    token_method: TOKEN_METHOD,
    requests_with_media: found.withMedia,
    batches: found.parts.length,
    errors: found.errors,
  };
}
