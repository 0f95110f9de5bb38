import { unknownCursor } from '../errors/parameter-errors.ts';
import { tooManyWebhooks, webhookNotFound, webhooksAreOff } from '../errors/webhook-errors.ts';
import { isWebhookEndpointId, newWebhookEndpointId } from '../../domain/ids.ts';
import { MAX_WEBHOOK_ENDPOINTS, OLD_SECRET_LIFE_SECONDS, WEBHOOK_EVENT_TYPES, type WebhookRecord } from '../../domain/webhook.ts';
import type { WebhookStore } from '../../storage/webhook-store.ts';
import type { Webhooks } from '../../webhooks/webhooks.ts';
import { pathParam, type Route, type RouteContext, sendJson, tenantOf } from '../context.ts';
import { readJsonBody } from '../json-body.ts';
import { readPageQuery, sendPage } from '../pagination.ts';
import type { BodyPace } from '../request-body.ts';
import { readBoolean, readWebhookChanges, readWebhookRequest } from '../webhook-request.ts';

export interface WebhookDeps {
  webhooks: WebhookStore;
  /** Null where nothing can be signed. */
  webhookSigner: Webhooks | null;
  bodyPace: BodyPace;
  nowMs: () => number;
  randomHex: (bytes: number) => string;
}

const BOUNDS = { defaultLimit: 20, maxLimit: 100 };

/** `POST /v1/webhook_endpoints`: answers the endpoint with its signing secret, which is shown here and never again. */
export function createWebhookEndpoint(deps: WebhookDeps): Route {
  const { webhooks, nowMs, randomHex } = deps;
  return async (ctx) => {
    const tenant = tenantOf(ctx);
    const signer = signerOf(deps);
    const { value } = await readJsonBody(ctx.req, deps.bodyPace);
    const { name, url, eventTypes } = readWebhookRequest(value, signer.targetFault);
    if ((await webhooks.all(tenant)).length >= MAX_WEBHOOK_ENDPOINTS) throw tooManyWebhooks(MAX_WEBHOOK_ENDPOINTS);
    const now = nowMs();
    const made = signer.newSecret();
    const seconds = Math.floor(now / 1000);
    const record: WebhookRecord = {
      endpoint: {
        id: newWebhookEndpointId(now, randomHex(10)),
        object: 'webhook_endpoint',
        name,
        url,
        event_types: eventTypes,
        created_at: seconds,
        updated_at: seconds,
        signing_secret_hint: made.hint,
      },
      tenant,
      secrets: [{ sealed: made.sealed, expiresAt: null }],
    };
    await webhooks.create(record);
    sendJson(ctx, { ...record.endpoint, signing_secret: made.secret });
  };
}

/** `GET /v1/webhook_endpoints`: one page, newest first. */
export function listWebhookEndpoints({ webhooks }: Pick<WebhookDeps, 'webhooks'>): Route {
  return async (ctx) => {
    const { limit, after } = readPageQuery(new URLSearchParams(ctx.querystring), BOUNDS);
    if (after !== null && !isWebhookEndpointId(after)) throw unknownCursor(after);
    const page = await webhooks.list(tenantOf(ctx), { limit, after });
    if (page === 'unknown_cursor') throw unknownCursor(after ?? '');
    sendPage(
      ctx,
      page.data.map(({ endpoint }) => endpoint),
      page.hasMore,
    );
  };
}

/** `GET /v1/webhook_endpoints/{id}`: one of them. */
export function retrieveWebhookEndpoint({ webhooks }: Pick<WebhookDeps, 'webhooks'>): Route {
  return async (ctx) => sendJson(ctx, (await webhookOf(ctx, webhooks)).endpoint);
}

/** `POST /v1/webhook_endpoints/{id}`: changes what the body names. */
export function updateWebhookEndpoint(deps: WebhookDeps): Route {
  const { webhooks, nowMs } = deps;
  return async (ctx) => {
    const { endpoint } = await webhookOf(ctx, webhooks);
    const { value } = await readJsonBody(ctx.req, deps.bodyPace);
    const { name, url, eventTypes } = readWebhookChanges(value, signerOf(deps).targetFault);
    const changes = {
      ...(name === undefined ? {} : { name }),
      ...(url === undefined ? {} : { url }),
      ...(eventTypes === undefined ? {} : { event_types: eventTypes }),
      updated_at: Math.floor(nowMs() / 1000),
    };
    const record = await webhooks.update(tenantOf(ctx), endpoint.id, (found) => ({
      ...found,
      endpoint: { ...found.endpoint, ...changes },
    }));
    if (record === null) throw webhookNotFound(endpoint.id);
    sendJson(ctx, record.endpoint);
  };
}

/** `DELETE /v1/webhook_endpoints/{id}`: what is still to be delivered to it is given up. */
export function deleteWebhookEndpoint({ webhooks }: Pick<WebhookDeps, 'webhooks'>): Route {
  return async (ctx) => {
    const { endpoint } = await webhookOf(ctx, webhooks);
    await webhooks.delete(tenantOf(ctx), endpoint.id);
    sendJson(ctx, { id: endpoint.id, object: 'webhook_endpoint.deleted', deleted: true });
  };
}

/** `POST /v1/webhook_endpoints/{id}/rotate_secret`: answers the endpoint with its new secret. */
export function rotateWebhookSecret(deps: WebhookDeps): Route {
  const { webhooks, nowMs } = deps;
  return async (ctx) => {
    const { endpoint } = await webhookOf(ctx, webhooks);
    const { value } = await readJsonBody(ctx.req, deps.bodyPace);
    const keepsOld = readBoolean(value, 'keep_old_secret_active_for_24_hours');
    const made = signerOf(deps).newSecret();
    const seconds = Math.floor(nowMs() / 1000);
    const record = await webhooks.update(tenantOf(ctx), endpoint.id, (found) => {
      const old = found.secrets.slice(0, keepsOld ? 1 : 0).map(({ sealed }) => ({ sealed, expiresAt: seconds + OLD_SECRET_LIFE_SECONDS }));
      return {
        ...found,
        endpoint: { ...found.endpoint, updated_at: seconds, signing_secret_hint: made.hint },
        secrets: [{ sealed: made.sealed, expiresAt: null }, ...old],
      };
    });
    if (record === null) throw webhookNotFound(endpoint.id);
    sendJson(ctx, { ...record.endpoint, signing_secret: made.secret });
  };
}

/** `GET /v1/webhook_event_types`: what an endpoint may be called for. */
export function listWebhookEventTypes(): Route {
  return async (ctx) => sendJson(ctx, { object: 'list', data: WEBHOOK_EVENT_TYPES });
}

/** The endpoint that the path names. Throws the 404. */
export async function webhookOf(ctx: RouteContext, webhooks: Pick<WebhookStore, 'get'>): Promise<WebhookRecord> {
  const id = pathParam(ctx, 'id');
  const record = isWebhookEndpointId(id) ? await webhooks.get(tenantOf(ctx), id) : null;
  if (record === null) throw webhookNotFound(id);
  return record;
}

/** Throws the 400 where nothing can be signed. */
export function signerOf({ webhookSigner }: Pick<WebhookDeps, 'webhookSigner'>): Webhooks {
  if (webhookSigner === null) throw webhooksAreOff();
  return webhookSigner;
}
