import { CommandError } from './command-error.ts';
import { defineCommand } from './command.ts';
import { deliver, openDelivery } from './deliver.ts';
import { EXIT } from './exit-codes.ts';
import { isTerminal } from '../domain/batch.ts';

/** `nightshift download`. */
export const download = defineCommand({
  usage: 'download ID [options]',
  about: `
Downloads the output and error file of a batch that has ended, and prints their paths. A download that breaks off is continued,
also by a later call: what has come is kept in a file that ends in ".part".`,
  options: {
    output: { type: 'string', short: 'o', value: 'DIR', default: '.', help: 'folder of the results, or - to print the output file' },
    force: { type: 'boolean', help: 'replace files that are there already' },
    json: { type: 'boolean', help: 'print the batch as JSON, with the paths' },
  },
  words: [1, 1],
  async run(values, [id = ''], context) {
    const { client } = context.api();
    const batch = await client.getBatch(id);
    if (!isTerminal(batch.status))
      throw new CommandError(`${batch.id} is ${batch.status}: its files come when it has ended. Wait for it: nightshift wait ${batch.id}`);
    const delivery = await openDelivery(values.output);
    if (batch.output_file_id === null && (delivery.isStdout || batch.error_file_id === null))
      throw new CommandError(
        `${batch.id} is ${batch.status} and has no ${delivery.isStdout ? 'output file' : 'files'}. Why: nightshift status ${batch.id}`,
      );
    await deliver(client, batch, { delivery, force: values.force, asJson: values.json, output: context.output, describe: false });
    return EXIT.ok;
  },
});
