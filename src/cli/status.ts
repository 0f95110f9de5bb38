import { defineCommand } from './command.ts';
import { describeBatch } from './describe-batch.ts';
import { exitCodeOf } from './exit-codes.ts';
import { isGroupId } from './group.ts';
import { showGroup } from './group-commands.ts';
import { waitForBatch } from './wait-for-batch.ts';

/** `nightshift status`. */
export const status = defineCommand({
  usage: 'status ID [options]',
  about: `
Shows a batch, or the sums of a group that submit has made. The exit code tells how it ended: 0 completed (or still running), 3 some
lines failed, 4 failed, expired or cancelled.`,
  options: {
    wait: { type: 'boolean', help: 'show progress until it has ended' },
    watch: { type: 'boolean', help: 'the same' },
    json: { type: 'boolean', help: 'the batch as the API answers it' },
  },
  words: [1, 1],
  async run(values, [id = ''], { api, output, signal }) {
    const { client } = api();
    const isAwaited = values.wait || values.watch;
    if (isGroupId(id)) return await showGroup(client, id, { output, signal, isAwaited, asJson: values.json });
    const batch = isAwaited ? await waitForBatch(client, id, { screen: output.screen, signal }) : await client.getBatch(id);
    if (values.json) output.printJson(batch);
    else output.print(describeBatch(batch));
    return exitCodeOf(batch);
  },
});
