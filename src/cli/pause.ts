import type { ApiClient, UpstreamPauseAnswer } from './api-client.ts';
import { WrongCall } from './command-error.ts';
import { type Context, defineCommand } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Batch } from '../domain/batch.ts';
import { pausedAt } from '../domain/pause.ts';

const OPTIONS = {
  upstream: { type: 'string', value: 'NAME', multiple: true, help: 'operators: an upstream; may be given several times' },
  all: { type: 'boolean', help: 'operators: everything' },
  json: { type: 'boolean', help: 'one answer per line, as the API gives it' },
} as const;

/** `nightshift pause`. */
export const pause = defineCommand({
  usage: 'pause [ID…] [options]',
  about: `
Pauses batches: they start no new request, and requests in flight finish. The completion window goes on, unless the operator has
set NIGHTSHIFT_PAUSE_STOPS_WINDOW. Operators can pause an upstream or everything; batches then wait.`,
  options: OPTIONS,
  words: [0, Infinity],
  run: async (values, ids, context) => await steer('pause', { ...values, ids }, context),
});

/** `nightshift resume`. */
export const resume = defineCommand({
  usage: 'resume [ID…] [options]',
  about: 'Lets paused batches go on; for operators, also an upstream or everything that was paused.',
  options: OPTIONS,
  words: [0, Infinity],
  run: async (values, ids, context) => await steer('resume', { ...values, ids }, context),
});

interface Targets {
  ids: readonly string[];
  upstream: readonly string[];
  all: boolean;
  json: boolean;
}

async function steer(call: 'pause' | 'resume', { ids, upstream, all, json }: Targets, { api, output }: Context): Promise<ExitCode> {
  const kinds = [ids.length > 0, upstream.length > 0, all].filter(Boolean).length;
  if (kinds !== 1) throw new WrongCall(`Name what to ${call}: batches by their ids, --upstream NAME, or --all. One of these at a time.`);
  const { client } = api();
  for (const id of ids) {
    const batch = await steerBatch(client, call, id);
    if (json) output.printJson(batch);
    else output.print(`${batch.id} is ${pausedAt(batch) === null ? batch.status : 'paused'}\n`);
  }
  for (const name of all ? [null] : upstream) {
    const answer = await client.steerUpstreams(call, name);
    if (json) output.printJson(answer);
    else output.print(`${describe(name, answer)}\n`);
  }
  return EXIT.ok;
}

async function steerBatch(client: ApiClient, call: 'pause' | 'resume', id: string): Promise<Batch> {
  return call === 'pause' ? await client.pauseBatch(id) : await client.resumeBatch(id);
}

function describe(name: string | null, { paused }: UpstreamPauseAnswer): string {
  const what = name === null ? 'everything' : `upstream ${name}`;
  if (paused === null) return `${what} is not paused`;
  return name !== null && paused === 'everything' ? `${what} waits: everything is paused` : `${what} is paused`;
}
