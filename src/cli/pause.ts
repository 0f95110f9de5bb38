import { defineCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { pausedAt } from '../domain/pause.ts';

const JSON_OPTION = { type: 'boolean', help: 'one batch per line, as the API answers it' } as const;

/** `nightshift pause`. */
export const pause = defineCommand({
  usage: 'pause ID… [options]',
  about: `
Pauses batches: they start no new request, and requests in flight finish. The completion window goes on, unless the operator has
set NIGHTSHIFT_PAUSE_STOPS_WINDOW.`,
  options: { json: JSON_OPTION },
  words: [1, Infinity],
  async run(values, ids, { api, output }) {
    const { client } = api();
    for (const id of ids) {
      const batch = await client.pauseBatch(id);
      if (values.json) output.printJson(batch);
      else output.print(`${batch.id} is paused\n`);
    }
    return EXIT.ok;
  },
});

/** `nightshift resume`. */
export const resume = defineCommand({
  usage: 'resume ID… [options]',
  about: 'Lets paused batches go on.',
  options: { json: JSON_OPTION },
  words: [1, Infinity],
  async run(values, ids, { api, output }) {
    const { client } = api();
    for (const id of ids) {
      const batch = await client.resumeBatch(id);
      if (values.json) output.printJson(batch);
      else output.print(`${batch.id} is ${pausedAt(batch) === null ? batch.status : 'paused'}\n`);
    }
    return EXIT.ok;
  },
});
