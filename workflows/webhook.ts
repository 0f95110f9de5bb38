import { deliverWebhook } from './activities.ts';
import type { DeliveredWebhook, DeliverWebhookInput } from './contract.ts';

/** The delivery of one event to one webhook endpoint: Temporal shows its tries, and goes on for 72 hours. */
export async function webhook(input: DeliverWebhookInput): Promise<DeliveredWebhook> {
  return await deliverWebhook(input);
}
