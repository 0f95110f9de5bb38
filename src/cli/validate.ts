import { createReadStream } from 'node:fs';
import { CommandError } from './command-error.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { firstUrl } from './first-request.ts';
import { createGroups, describePlaces } from './group-equal.ts';
import { type OpenInput, openInput } from './open-input.ts';
import { bytes, count } from './progress-line.ts';
import type { BatchError } from '../domain/batch.ts';
import * as fault from '../domain/input-errors.ts';
import { createLineSplitter, type InputLine } from '../domain/jsonl.ts';
import { DEFAULT_LIMITS } from '../domain/limits.ts';
import { createRequestLineChecker } from '../domain/request-line.ts';

/** `nightshift validate`. */
export const validate = defineCommand({
  usage: 'validate FILE [options]',
  about: `
Checks a file of requests on this machine, without sending it: every line as the API checks it, and the default limits. What only
the API knows is not checked: which models it serves, and its own limits.`,
  options: {
    endpoint: { type: 'string', value: 'PATH', help: 'endpoint of all lines; by default the url of the first line' },
    json: { type: 'boolean', help: 'print requests, models and errors as JSON' },
  },
  words: [1, 1],
  async run(values, [path = ''], { output, signal, stdin }) {
    await using input = await openInput(path, { stdin, signal });
    const endpoint = values.endpoint ?? (await firstUrl(input));
    const found = await check(input, endpoint);
    if (values.json) {
      const models = found.models.all().map(({ text }) => text);
      output.printJson({ requests: found.requests, endpoint, models, errors: found.errors });
    } else if (found.errors.length === 0) {
      const models = found.models.all().map(({ text, size }) => `${text} (${count(size)})`);
      output.print(
        `${input.name} is good: ${count(found.requests)} requests for ${endpoint}, ${bytes(input.bytes)}, models: ${models.join(', ') || 'none named'}\n`,
      );
    } else {
      const groups = createGroups();
      for (const { line, code, message } of found.errors) groups.add(`${message} (${code})`, line === null ? null : String(line));
      for (const group of groups.all())
        output.print(`${[describePlaces(group, 'line'), group.text].filter((each) => each !== '').join(': ')}\n`);
    }
    if (found.errors.length > 0) throw new CommandError(`${input.name} has ${count(found.errors.length)} faults: the API would refuse it.`);
    return EXIT.ok;
  },
});

async function check(input: OpenInput, endpoint: string) {
  const limits = DEFAULT_LIMITS;
  const customIds = new Map<string, number>();
  const checker = createRequestLineChecker({
    endpoint,
    limits,
    lineOf: (customId, line) => {
      const earlier = customIds.get(customId) ?? null;
      if (earlier === null) customIds.set(customId, line);
      return earlier;
    },
  });
  const splitter = createLineSplitter({ maxLineBytes: limits.maxLineBytes });
  const models = createGroups();
  const errors: BatchError[] = [];
  let [requests, embeddingInputs] = [0, 0];
  const take = ({ bytes: content, line }: InputLine) => {
    requests += 1;
    const checked = checker.check(content, line);
    if (checked.errors !== null) return void errors.push(...checked.errors);
    embeddingInputs += checked.embeddingInputs;
    if (checked.model !== null) models.add(checked.model, null);
  };
  if (input.bytes > 0) for await (const chunk of createReadStream(input.path)) splitter.push(chunk).forEach(take);
  splitter.end().forEach(take);
  if (requests === 0) errors.push(fault.emptyFile());
  if (requests > limits.maxRequestsPerBatch) errors.push(fault.tooManyTasks(limits.maxRequestsPerBatch));
  if (input.bytes > limits.maxBatchInputBytes) errors.push(fault.inputFileTooLarge(limits.maxBatchInputBytes, null));
  if (embeddingInputs > limits.maxEmbeddingInputs) errors.push(fault.tooManyEmbeddingInputs(limits.maxEmbeddingInputs));
  return { requests, errors, models };
}
