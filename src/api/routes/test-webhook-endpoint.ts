import { missingParameter } from '../errors/parameter-errors.ts';
import { webhookTestFailed } from '../errors/webhook-errors.ts';
import { newBatchId } from '../../domain/ids.ts';
import { type Route, sendJson } from '../context.ts';
import { readJsonBody } from '../json-body.ts';
import { readEventType } from '../webhook-request.ts';
import { signerOf, type WebhookDeps, webhookOf } from './webhook-endpoints.ts';

/**
 * `POST /v1/webhook_endpoints/{id}/test`: sends an event about a batch that does not exist, once. Throws the 400, with the reason, where the
 * receiver did not answer with a 2xx.
 */
export function testWebhookEndpoint(deps: WebhookDeps): Route {
  const { webhooks, nowMs, randomHex } = deps;
  return async (ctx) => {
    const record = await webhookOf(ctx, webhooks);
    const { value } = await readJsonBody(ctx.req, deps.bodyPace);
    if (value['event_type'] === undefined || value['event_type'] === null) throw missingParameter('event_type');
    const type = readEventType(value['event_type'], 'event_type');
    const now = nowMs();
    const status = await signerOf(deps)
      .send(record, {
        id: `evt_${randomHex(16)}`,
        object: 'event',
        type,
        created_at: Math.floor(now / 1000),
        data: { id: newBatchId(now, randomHex(10)) },
      })
      .catch((error: unknown) => {
        throw error instanceof Error && error.name === 'WebhookFailed' ? webhookTestFailed(error.message) : error;
      });
    if (status < 200 || status > 299) throw webhookTestFailed(`the receiver answered with status ${status}, expected 200 to 299`);
    sendJson(ctx, {
      object: 'webhook_endpoint.test',
      event_type: type,
      status_code: status,
      success: true,
      webhook_endpoint_id: record.endpoint.id,
    });
  };
}
