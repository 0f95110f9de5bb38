import { WEBHOOK_EVENT_TYPES } from '../../domain/webhook.ts';
import { always, listOf, oneOf, open, type Schema, text, unixSeconds, whole } from './json-schema.ts';
import { answers, body, operation, pathId, query } from './operation.ts';

const eventTypes: Schema = { type: 'array', minItems: 1, items: oneOf(WEBHOOK_EVENT_TYPES) };
const members = {
  name: { type: 'string', minLength: 1, maxLength: 256 },
  url: { type: 'string', maxLength: 2048, description: 'A public HTTPS URL' },
  event_types: eventTypes,
};

/** The endpoints of webhooks. */
export const webhookPaths: Schema = {
  '/v1/webhook_endpoints': {
    post: operation('createWebhookEndpoint', 'Have the end of batches told to a URL', {
      requestBody: body({ ...open(members, ['name', 'url', 'event_types']), additionalProperties: false }),
      success: { 200: answers('The endpoint, with its signing secret', 'WebhookEndpointWithSecret') },
      errors: [400, 408, 413],
    }),
    get: operation('listWebhookEndpoints', 'List webhook endpoints, newest first', {
      parameters: [
        query('after', 'Continue after this id'),
        query('limit', 'Endpoints per page', { type: 'integer', minimum: 1, maximum: 100, default: 20 }),
      ],
      success: { 200: answers('One page', 'WebhookEndpointList') },
      errors: [400],
    }),
  },
  '/v1/webhook_endpoints/{id}': {
    parameters: [pathId('webhook endpoint')],
    get: operation('retrieveWebhookEndpoint', 'Look at a webhook endpoint', {
      success: { 200: answers('The endpoint', 'WebhookEndpoint') },
      errors: [404],
    }),
    post: operation('updateWebhookEndpoint', 'Change a webhook endpoint', {
      requestBody: body({ ...open(members, []), additionalProperties: false }),
      success: { 200: answers('The endpoint', 'WebhookEndpoint') },
      errors: [400, 404, 408, 413],
    }),
    delete: operation('deleteWebhookEndpoint', 'Delete a webhook endpoint', {
      success: { 200: answers('Deleted', 'WebhookEndpointDeleted') },
      errors: [404],
    }),
  },
  '/v1/webhook_endpoints/{id}/rotate_secret': {
    parameters: [pathId('webhook endpoint')],
    post: operation('rotateWebhookSecret', 'Make a new signing secret', {
      requestBody: body(open({ keep_old_secret_active_for_24_hours: { type: 'boolean', default: false } }, [])),
      success: { 200: answers('The endpoint, with its new signing secret', 'WebhookEndpointWithSecret') },
      errors: [400, 404, 408, 413],
    }),
  },
  '/v1/webhook_endpoints/{id}/test': {
    parameters: [pathId('webhook endpoint')],
    post: operation('testWebhookEndpoint', 'Send one event at once', {
      requestBody: body(open({ event_type: oneOf(WEBHOOK_EVENT_TYPES) }, ['event_type'])),
      success: { 200: answers('What the receiver answered', 'WebhookEndpointTest') },
      errors: [400, 404, 408, 413],
    }),
  },
  '/v1/webhook_event_types': {
    get: operation('listWebhookEventTypes', 'List what a webhook may be called for', {
      success: { 200: answers('All event types', 'WebhookEventTypeList') },
    }),
  },
};

const endpoint: Readonly<Record<string, Schema>> = {
  id: { type: 'string', pattern: '^whe_[0-9a-f]{32}$' },
  object: always('webhook_endpoint'),
  name: text,
  url: text,
  event_types: eventTypes,
  created_at: unixSeconds,
  updated_at: unixSeconds,
  signing_secret_hint: text,
};

/** What the endpoints of webhooks answer with, by name. */
export const webhookSchemas: Readonly<Record<string, Schema>> = {
  WebhookEndpoint: whole(endpoint),
  WebhookEndpointWithSecret: whole({ ...endpoint, signing_secret: { type: 'string', pattern: '^whsec_' } }),
  WebhookEndpointList: listOf('WebhookEndpoint'),
  WebhookEndpointDeleted: whole({ id: text, object: always('webhook_endpoint.deleted'), deleted: always(true) }),
  WebhookEndpointTest: whole({
    object: always('webhook_endpoint.test'),
    event_type: text,
    status_code: { type: 'integer' },
    success: always(true),
    webhook_endpoint_id: text,
  }),
  WebhookEventTypeList: whole({ object: always('list'), data: { type: 'array', items: oneOf(WEBHOOK_EVENT_TYPES) } }),
};
