import { CommandError, WrongCall } from './command-error.ts';
import { defineCommand } from './command.ts';
import { deliver, openDelivery } from './deliver.ts';
import { deliverFamily } from './deliver-family.ts';
import { EXIT } from './exit-codes.ts';
import { isGroupId } from './group.ts';
import { downloadGroup } from './group-commands.ts';
import { findFamily } from './merge-results.ts';
import { isTerminal } from '../domain/batch.ts';

/** `nightshift download`. */
export const download = defineCommand({
  usage: 'download ID [options]',
  about: `
Downloads the output and error file of a batch that has ended, and prints their paths. A download that breaks off is continued,
also by a later call: what has come is kept in a file that ends in ".part".
With --partial or --merged it writes one file with a line for each request, completed or not, in the order of the input. --partial takes what is
known so far, also while the batch runs. --merged takes the results of the batch, of the batches that retry its lines, and of those that it
retries, whichever of them is named: a completed answer replaces a failed one. The files of a group are joined in the order of its input.`,
  options: {
    output: { type: 'string', short: 'o', value: 'DIR', default: '.', help: 'folder of the results, or - to print the output file' },
    force: { type: 'boolean', help: 'replace files that are there already' },
    partial: { type: 'boolean', help: 'what is known so far, in one file that ends in "_partial.jsonl"' },
    merged: { type: 'boolean', help: 'the batch and its retries, in one file that ends in "_merged.jsonl"' },
    json: { type: 'boolean', help: 'print the batch as JSON, with the paths' },
  },
  words: [1, 1],
  async run(values, [id = ''], context) {
    if (values.partial && values.merged)
      throw new WrongCall('Give --partial or --merged, not both. --merged takes what is known so far as well.');
    if (isGroupId(id) && (values.partial || values.merged))
      throw new WrongCall(
        '--partial and --merged take the id of a batch, not of a group. Without them, download merges the retries of a group as well.',
      );
    const { client } = context.api();
    if (isGroupId(id)) {
      const delivery = await openDelivery(values.output);
      return await downloadGroup(client, id, { delivery, force: values.force, asJson: values.json, output: context.output });
    }
    if (values.partial || values.merged) {
      const family = values.merged ? await findFamily(client, id) : { root: await client.getBatch(id), retries: [] };
      await deliverFamily(client, family, { ...values, kind: values.merged ? 'merged' : 'partial', context });
      return EXIT.ok;
    }
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
