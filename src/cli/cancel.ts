import { defineCommand } from './command.ts';
import { EXIT, worstExitCode } from './exit-codes.ts';
import { isGroupId, lastBatches } from './group.ts';
import { cancelGroup } from './group-commands.ts';
import { waitForBatch } from './wait-for-batch.ts';
import type { Batch } from '../domain/batch.ts';

/** `nightshift cancel`. */
export const cancel = defineCommand({
  usage: 'cancel ID… [options]',
  about: `
Cancels batches, or all of a group. What is answered already is published; requests in flight get a short grace.
With --wait the exit code is 0 once all are cancelled; a batch that ended in another way is told by 3 or 4 as in status.`,
  options: {
    wait: { type: 'boolean', help: 'show progress until they have ended' },
    json: { type: 'boolean', help: 'one batch per line, as the API answers it' },
  },
  words: [1, Infinity],
  async run(values, ids, { api, output, signal }) {
    const { client } = api();
    const show = (batch: Batch) => (values.json ? output.printJson(batch) : output.print(`${batch.id} is ${batch.status}\n`));
    const cancelled: Batch[] = [];
    for (const id of ids) {
      if (isGroupId(id)) {
        const group = await cancelGroup(client, id);
        cancelled.push(...lastBatches(group));
        if (!values.wait) lastBatches(group).forEach(show);
        continue;
      }
      cancelled.push(await client.cancelBatch(id));
      if (!values.wait) cancelled.slice(-1).forEach(show);
    }
    if (!values.wait) return EXIT.ok;
    const ended: Batch[] = [];
    for (const { id } of cancelled) {
      ended.push(await waitForBatch(client, id, { screen: output.screen, signal }));
      ended.slice(-1).forEach(show);
    }
    return worstExitCode(ended.filter(({ status }) => status !== 'cancelled'));
  },
});
