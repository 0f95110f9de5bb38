import { defineCommand } from './command.ts';
import { worstExitCode } from './exit-codes.ts';
import { isGroupId, lastBatches } from './group.ts';
import { awaitGroup } from './group-commands.ts';
import { waitForBatch } from './wait-for-batch.ts';
import type { Batch } from '../domain/batch.ts';

/** `nightshift wait`. */
export const wait = defineCommand({
  usage: 'wait ID… [options]',
  about: `
Waits until batches or groups have ended, and prints how each one ended. The exit code is that of the worst: 0 completed, 3 some lines
failed, 4 failed, expired or cancelled.`,
  options: { json: { type: 'boolean', help: 'one batch per line, as the API answers it' } },
  words: [1, Infinity],
  async run(values, ids, { api, output, signal }) {
    const { client } = api();
    const ended: Batch[] = [];
    for (const [at, id] of ids.entries()) {
      if (isGroupId(id)) {
        ended.push(...lastBatches(await awaitGroup(client, id, { output, signal, asJson: values.json })));
        continue;
      }
      const prefix = ids.length === 1 ? '' : `[${at + 1}/${ids.length}] `;
      const batch = await waitForBatch(client, id, { screen: output.screen, signal, prefix });
      ended.push(batch);
      if (values.json) output.printJson(batch);
      else output.print(`${batch.id} ${batch.status}\n`);
    }
    return worstExitCode(ended);
  },
});
