import { defineCommand } from './command.ts';
import { type ExitCode, exitCodeOf, worstOf } from './exit-codes.ts';
import { isGroupId } from './group.ts';
import { awaitGroup } from './group-commands.ts';
import { waitForBatch } from './wait-for-batch.ts';

/** `nightshift wait`. */
export const wait = defineCommand({
  usage: 'wait ID… [options]',
  about: `
Waits until batches or groups have ended, and prints how each one ended. The exit code is that of the worst: 0 completed, 3 some lines
failed, 4 failed, expired or cancelled, or a part of a group was never submitted.`,
  options: { json: { type: 'boolean', help: 'one batch per line, as the API answers it' } },
  words: [1, Infinity],
  async run(values, ids, { api, output, signal }) {
    const { client } = api();
    const codes: ExitCode[] = [];
    for (const [at, id] of ids.entries()) {
      if (isGroupId(id)) {
        codes.push(await awaitGroup(client, id, { output, signal, asJson: values.json }));
        continue;
      }
      const prefix = ids.length === 1 ? '' : `[${at + 1}/${ids.length}] `;
      const batch = await waitForBatch(client, id, { screen: output.screen, signal, prefix });
      codes.push(exitCodeOf(batch));
      if (values.json) output.printJson(batch);
      else output.print(`${batch.id} ${batch.status}\n`);
    }
    return worstOf(codes);
  },
});
