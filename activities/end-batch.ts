import { type Batch, type BatchRecord, isTerminal, type TerminalStatus } from '../src/domain/batch.ts';
import { endEventOf } from '../src/domain/webhook.ts';
import type { ActivityDeps } from './deps.ts';

/** The last acts of a batch whose record is terminal. */
export type EndBatch = (record: BatchRecord) => Promise<void>;

/**
 * Counts the usage of the batch, starts the deliveries to the webhooks of the tenant, then removes the open marker. A second run counts
 * and starts nothing again, because usage names its batches and a delivery has the id of its event. One that dies before the marker is
 * gone is made up for by the next that finds the record terminal.
 */
export function createEndBatch({
  batches,
  usage,
  webhooks,
  runs,
}: Pick<ActivityDeps, 'batches' | 'usage' | 'webhooks' | 'runs'>): EndBatch {
  return async (record) => {
    const { tenant, batch } = record;
    if (!hasEnded(batch)) return;
    await usage.add(record);
    const event = endEventOf(batch);
    for (const { endpoint } of await webhooks.all(tenant)) {
      if (!endpoint.event_types.includes(event.type)) continue;
      await runs.startDelivery({ tenant, endpointId: endpoint.id, host: new URL(endpoint.url).host, event });
    }
    await batches.removeOpen(tenant, batch.id);
  };
}

function hasEnded(batch: Batch): batch is Batch & { status: TerminalStatus } {
  return isTerminal(batch.status);
}
