import { ApplicationFailure } from '@temporalio/activity';
import type { DeliverWebhookInput, DeliveredWebhook } from '../workflows/contract.ts';
import type { ActivityDeps } from './deps.ts';

/**
 * Sends an event to a webhook endpoint once; Temporal tries again what fails. A second run sends the same event under the same id, which is
 * how the receiver knows it. An endpoint that was deleted meanwhile, or says 410, gets nothing more.
 */
export function createDeliverWebhook({ webhooks, webhookSender }: Pick<ActivityDeps, 'webhooks' | 'webhookSender'>) {
  return async function deliverWebhook({ tenant, endpointId, event }: DeliverWebhookInput): Promise<DeliveredWebhook> {
    const record = await webhooks.get(tenant, endpointId);
    if (record === null) return { outcome: 'endpoint_deleted' };
    // A worker without the key is one of another configuration.
    if (webhookSender === null) throw ApplicationFailure.retryable('This worker has no NIGHTSHIFT_WEBHOOK_KEY.', 'WebhookKeyMissing');
    const status = await webhookSender.send(record, event).catch((error: unknown) => {
      throw ApplicationFailure.retryable(error instanceof Error ? error.message : String(error), 'WebhookNotAnswered');
    });
    if (status === 410) return { outcome: 'gone', status };
    if (status < 200 || status > 299) throw ApplicationFailure.retryable(`The receiver answered with status ${status}.`, 'WebhookRefused');
    return { outcome: 'delivered', status };
  };
}
