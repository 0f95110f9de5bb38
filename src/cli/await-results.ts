import type { ApiClient } from './api-client.ts';
import type { Context } from './command.ts';
import { deliver, type openDelivery } from './deliver.ts';
import { type ExitCode, exitCodeOf } from './exit-codes.ts';
import { waitForBatch } from './wait-for-batch.ts';
import type { Batch } from '../domain/batch.ts';

/** Shows the progress of a batch that was just made until it has ended, and downloads its files. Answers the exit code. */
export async function awaitResults(
  client: ApiClient,
  { id }: Batch,
  given: { delivery: Awaited<ReturnType<typeof openDelivery>>; force: boolean; asJson: boolean; context: Context },
): Promise<ExitCode> {
  const { delivery, force, asJson, context } = given;
  const { output, signal } = context;
  try {
    const ended = await waitForBatch(client, id, { screen: output.screen, signal });
    await deliver(client, ended, { delivery, force, asJson, output, describe: true });
    return exitCodeOf(ended);
  } catch (error) {
    if (signal.aborted) output.warn(`The batch goes on. Follow it: nightshift wait ${id}\nThen get its results: nightshift download ${id}`);
    else output.warn(`The batch is ${id}. Get its results: nightshift download ${id}`);
    throw error;
  }
}
