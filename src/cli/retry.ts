import { randomUUID } from 'node:crypto';
import { awaitResults } from './await-results.ts';
import { defineCommand } from './command.ts';
import { isGroupId, lastBatches } from './group.ts';
import { awaitGroupResults, retryGroup } from './group-commands.ts';
import { openDelivery } from './deliver.ts';
import { EXIT } from './exit-codes.ts';

/** `nightshift retry`. */
export const retry = defineCommand({
  usage: 'retry ID [options]',
  about: `
Makes a new batch of exactly the lines of a batch that failed, expired or were cancelled. Prints its id. The new batch names the old one, and
the old one the new one. Of a group, each batch with such lines is run again. It needs the input file of the old batch.
With --wait the exit code tells how the new batch ended: 0 completed, 3 some lines failed, 4 failed, expired or cancelled.`,
  options: {
    status: {
      type: 'string',
      value: 'STATUS',
      multiple: true,
      help: 'failed, expired or cancelled; may be given several times; all by default',
    },
    wait: { type: 'boolean', help: 'show progress until the new batch has ended, then download its files' },
    output: { type: 'string', short: 'o', value: 'DIR', help: 'folder of the results, or - for stdout; implies --wait' },
    force: { type: 'boolean', help: 'replace results that are there already' },
    json: { type: 'boolean', help: 'print the new batch as JSON' },
  },
  words: [1, 1],
  async run(values, [id = ''], context) {
    const { output } = context;
    const { client } = context.api();
    const delivery = values.wait || values.output !== undefined ? await openDelivery(values.output ?? '.') : null;
    if (isGroupId(id)) {
      const group = await retryGroup(client, id, values.status, context);
      if (values.json) for (const batch of lastBatches(group)) output.printJson(batch);
      else if (delivery?.isStdout !== true)
        for (const batch of lastBatches(group)) if (batch.nightshift?.retry_of !== undefined) output.print(`${batch.id}\n`);
      if (delivery === null) return EXIT.ok;
      return await awaitGroupResults(client, group, { delivery, force: values.force, asJson: values.json, context });
    }
    const batch = await client.retryBatch(id, values.status, randomUUID());
    if (!values.json && delivery?.isStdout !== true) output.print(`${batch.id}\n`);
    else if (delivery !== null) output.note(`batch ${batch.id}`);
    if (delivery === null) {
      if (values.json) output.printJson(batch);
      return EXIT.ok;
    }
    return await awaitResults(client, batch, { delivery, force: values.force, asJson: values.json, context });
  },
});
