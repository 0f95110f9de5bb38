import { ApiFault } from './api-fault.ts';
import { type Check, type Context, defineCommand } from './command.ts';
import { CommandError } from './command-error.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { oneLine } from './terminal-text.ts';

const PATIENCE_MS = 10_000;

/** `nightshift doctor`. */
export const doctor = defineCommand({
  usage: 'doctor [options]',
  about: `
Finds out why something does not work: whether the API answers, takes the key, and reaches its bucket and Temporal. With --server,
for operators who have the server's settings at hand (environment, .env), also from this machine: the bucket, Temporal, and each
upstream with its models.
Exit codes: 0 all is well, 1 something is wrong, 5 the API does not answer.`,
  options: {
    server: { type: 'boolean', help: "check what the server's settings name as well" },
    json: { type: 'boolean', help: 'print the checks as JSON' },
  },
  words: [0, 0],
  async run(values, _words, context) {
    const checks: Check[] = [];
    const add = (...found: Check[]) => {
      checks.push(...found);
      if (!values.json)
        for (const { isGood, sentence } of found) context.output.print(`${isGood ? 'ok     ' : 'FAILED '} ${oneLine(sentence)}\n`);
    };
    await checkApi(context, add);
    if (values.server) add(...(await context.checkServer()));
    if (values.json) context.output.printJson(checks.map(({ isGood, sentence }) => ({ ok: isGood, message: sentence })));
    return codeOf(checks);
  },
});

function codeOf(checks: readonly Check[]): ExitCode {
  if (checks.some(({ isUnreachable }) => isUnreachable === true)) return EXIT.unreachable;
  return checks.every(({ isGood }) => isGood) ? EXIT.ok : EXIT.error;
}

async function checkApi({ api, signal }: Context, add: (check: Check) => void): Promise<void> {
  const { client, address } = api();
  add({
    isGood: true,
    sentence: `The API is ${address.baseUrl} (from ${address.baseUrlFrom}); the key is ${address.apiKey === null ? 'not set' : 'set'}.`,
  });
  try {
    await client.listBatches({ limit: 1, after: null });
    add({ isGood: true, sentence: 'The API answers and takes the key.' });
  } catch (error) {
    if (signal.aborted || !(error instanceof CommandError)) throw error;
    add({ isGood: false, isUnreachable: error instanceof ApiFault && error.status === null && error.isTransient, sentence: error.message });
    if (!(error instanceof ApiFault) || error.status === null) return;
  }
  await checkReady(new URL('/ready', address.baseUrl), signal, add);
}

/** Only Nightshift itself has this route; other implementations of the Batch API are not asked for more. */
async function checkReady(url: URL, signal: AbortSignal, add: (check: Check) => void): Promise<void> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]), redirect: 'manual' });
    const { bucket, temporal }: { bucket?: unknown; temporal?: unknown } = Object(await answer.json());
    if (typeof bucket === 'boolean')
      add({ isGood: bucket, sentence: bucket ? 'The API reaches its bucket.' : 'The API does not reach its bucket: every call fails.' });
    if (typeof temporal === 'boolean')
      add({
        isGood: temporal,
        sentence: temporal ? 'The API reaches Temporal.' : 'The API does not reach Temporal: batches are accepted and start later.',
      });
  } catch {
    signal.throwIfAborted();
  }
}
