import type { ApiClient } from './api-client.ts';
import { ApiFault } from './api-fault.ts';
import { CommandError } from './command-error.ts';
import type { Context } from './command.ts';
import type { Delivery } from './deliver.ts';
import { describeGroup, describeMissing } from './describe-group.ts';
import { EXIT, type ExitCode, worstExitCode } from './exit-codes.ts';
import { batchesOf, findGroup, type Group, lastBatches, sumOf } from './group.ts';
import type { Output } from './output.ts';
import { deliverGroup } from './save-group.ts';
import { waitForGroup } from './wait-for-group.ts';
import { isTerminal } from '../domain/batch.ts';

type Given = Pick<Context, 'output' | 'signal'>;

/** That of the worst end so far; 4 where a part was never submitted. */
function exitCodeOfGroup(group: Group): ExitCode {
  if (group.parts.some(({ batches }) => batches.length === 0)) return EXIT.notCompleted;
  return worstExitCode(lastBatches(group));
}

/** `status GROUP`. */
export async function showGroup(client: ApiClient, id: string, given: Given & { isAwaited: boolean; asJson: boolean }): Promise<ExitCode> {
  const found = await findGroup(client, id);
  const group = given.isAwaited ? await waitForGroup(client, found, given) : found;
  if (given.asJson) for (const batch of batchesOf(group)) given.output.printJson(batch);
  else given.output.print(describeGroup(group));
  const isOpen = lastBatches(group).some(({ status }) => !isTerminal(status));
  return isOpen ? EXIT.ok : exitCodeOfGroup(group);
}

/** `wait GROUP`. */
export async function awaitGroup(client: ApiClient, id: string, given: Given & { asJson: boolean }): Promise<ExitCode> {
  const group = await waitForGroup(client, await findGroup(client, id), given);
  if (given.asJson) for (const batch of batchesOf(group)) given.output.printJson(batch);
  else given.output.print(`${group.id} ${sumOf(group).status}\n`);
  return exitCodeOfGroup(group);
}

/** `download GROUP`. */
export async function downloadGroup(
  client: ApiClient,
  id: string,
  { delivery, ...given }: { delivery: Delivery; force: boolean; asJson: boolean; output: Output },
): Promise<ExitCode> {
  const group = await findGroup(client, id);
  assertEnded(group);
  if (group.parts.some(({ batches }) => batches.length === 0)) given.output.warn(`${describeMissing(group)}. Their results are not there.`);
  await deliverGroup(client, group, { delivery, ...given, describe: false });
  return EXIT.ok;
}

function assertEnded(group: Group): void {
  const open = lastBatches(group).filter(({ status }) => !isTerminal(status));
  if (open.length === 0) return;
  throw new CommandError(`${open.length} of the batches of ${group.id} have not ended. Wait for them: nightshift wait ${group.id}`);
}

/** `cancel GROUP`: all batches that have not ended. */
export async function cancelGroup(client: ApiClient, id: string): Promise<Group> {
  const open = batchesOf(await findGroup(client, id)).filter(({ status }) => !isTerminal(status));
  for (const batch of open) {
    // It may have ended just now.
    await client.cancelBatch(batch.id).catch((error: unknown) => {
      if (!(error instanceof ApiFault) || error.status !== 409) throw error;
    });
  }
  return await findGroup(client, id);
}

/** `retry GROUP`: a new batch for each batch that has lines to run again. A call that is repeated makes no second ones. */
export async function retryGroup(client: ApiClient, id: string, statuses: readonly string[], { output }: Given): Promise<Group> {
  const group = await findGroup(client, id);
  assertEnded(group);
  let made = 0;
  for (const batch of lastBatches(group)) {
    if (batch.error_file_id === null) {
      if (batch.status !== 'completed')
        output.warn(`${batch.id} is ${batch.status} and has no error file: its part has to be submitted again.`);
      continue;
    }
    try {
      await client.retryBatch(batch.id, statuses, `retry-${batch.id}-${statuses.join('-')}`);
      made += 1;
    } catch (error) {
      if (!(error instanceof ApiFault) || error.status !== 409) throw error;
      output.note(error.message);
    }
  }
  if (made === 0) throw new CommandError(`No batch of ${id} has lines to run again. See: nightshift status ${id}`);
  return await findGroup(client, id);
}

/** Shows the progress of a group until all of it has ended, and joins its results. */
export async function awaitGroupResults(
  client: ApiClient,
  group: Group,
  { delivery, force, asJson, context }: { delivery: Delivery; force: boolean; asJson: boolean; context: Context },
): Promise<ExitCode> {
  const { output, signal } = context;
  try {
    const ended = await waitForGroup(client, group, { output, signal });
    await deliverGroup(client, ended, { delivery, force, asJson, output, describe: true });
    return exitCodeOfGroup(ended);
  } catch (error) {
    if (signal.aborted)
      output.warn(`The batches go on. Follow them: nightshift wait ${group.id}\nThen get the results: nightshift download ${group.id}`);
    else output.warn(`The group is ${group.id}. Get its results: nightshift download ${group.id}`);
    throw error;
  }
}
