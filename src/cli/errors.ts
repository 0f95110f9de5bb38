import { defineCommand } from './command.ts';
import { describeErrors, describeFailures } from './describe-batch.ts';
import { EXIT } from './exit-codes.ts';
import { oneLine } from './terminal-text.ts';

/** `nightshift errors`. */
export const errors = defineCommand({
  usage: 'errors ID [options]',
  about: `
Shows why lines of a batch failed, equal causes together, the most frequent one first, also while the batch runs. For a batch
that failed its validation, shows the errors of the input file.`,
  options: { json: { type: 'boolean', help: 'print each group as JSON' } },
  words: [1, 1],
  async run(values, [id = ''], { api, output }) {
    const batch = await api().client.getBatch(id);
    if (values.json) {
      for (const each of [...(batch.errors?.data ?? []), ...(batch.nightshift?.failures ?? [])]) output.printJson(each);
      return EXIT.ok;
    }
    const found = [...describeErrors(batch), ...describeFailures(batch)];
    for (const each of found) output.print(`${oneLine(each)}\n`);
    if (found.length === 0) output.note('No line has failed.');
    return EXIT.ok;
  },
});
