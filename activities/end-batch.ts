import { type Batch, type BatchRecord, isTerminal, type TerminalStatus } from '../src/domain/batch.ts';
import { endEventOf } from '../src/domain/webhook.ts';
import type { ActivityDeps } from './deps.ts';

/** The last acts of a batch whose record is terminal. */
export type EndBatch = (record: BatchRecord) => Promise<void>;

/**
 * Starts the deliveries to the webhooks of the tenant, then removes the open marker. A second run starts none again, because a delivery has the
 * id of its event; one that dies before the marker is gone is made up for by the next that finds the record terminal.
 */
export function createEndBatch({ batches, webhooks, runs }: Pick<ActivityDeps, 'batches' | 'webhooks' | 'runs'>): EndBatch {
  return async ({ tenant, batch }) => {
    if (!hasEnded(batch)) return;
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
