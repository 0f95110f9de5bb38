import type { WebhookRecord } from '../domain/webhook.ts';
import type { Page } from './file-store.ts';
import { firstMapped, mapInOrder } from './in-order.ts';
import { createJson, getJson, READS_AT_A_TIME } from './json-objects.ts';
import { keys } from './keys.ts';
import type { ObjectStore } from './object-store.ts';
import { updateJson } from './update-json.ts';

/** The webhook endpoints of all tenants. */
export interface WebhookStore {
  create(record: WebhookRecord): Promise<void>;
  /** The record; null when unknown or another tenant's. */
  get(tenant: string, id: string): Promise<WebhookRecord | null>;
  /** Changes a record by compare-and-set (see `updateJson`); null when there is none. */
  update(tenant: string, id: string, change: (found: WebhookRecord) => WebhookRecord): Promise<WebhookRecord | null>;
  /** False when there was none. */
  delete(tenant: string, id: string): Promise<boolean>;
  /** One page, newest first; `after` is exclusive. */
  list(tenant: string, query: { limit: number; after: string | null }): Promise<Page<WebhookRecord> | 'unknown_cursor'>;
  /** All endpoints of a tenant: there are few. */
  all(tenant: string): Promise<WebhookRecord[]>;
}

/** The webhook endpoints in a bucket. */
export function createWebhookStore({ store }: { store: ObjectStore }): WebhookStore {
  const get = async (tenant: string, id: string) => await getJson<WebhookRecord>(store, keys.webhook(tenant, id));

  return {
    get,

    async create(record) {
      await createJson(store, keys.webhook(record.tenant, record.endpoint.id), record);
    },

    update: async (tenant, id, change) => await updateJson<WebhookRecord>(store, keys.webhook(tenant, id), change),

    async delete(tenant, id) {
      const key = keys.webhook(tenant, id);
      if ((await store.stat(key)) === null) return false;
      await store.remove([key]);
      return true;
    },

    async list(tenant, { limit, after }) {
      if (after !== null && (await store.stat(keys.webhook(tenant, after))) === null) return 'unknown_cursor';
      const startAfter = after === null ? '' : keys.webhook(tenant, after);
      const listed = store.list(keys.webhooks(tenant), { startAfter, pageSize: limit + 1 });
      const found = await firstMapped(listed, { count: limit + 1, limit: READS_AT_A_TIME }, async ({ key }) =>
        getJson<WebhookRecord>(store, key),
      );
      return { data: found.slice(0, limit), hasMore: found.length > limit };
    },

    async all(tenant) {
      const records: WebhookRecord[] = [];
      const listed = store.list(keys.webhooks(tenant));
      for await (const record of mapInOrder(listed, READS_AT_A_TIME, async ({ key }) => await getJson<WebhookRecord>(store, key))) {
        if (record !== null) records.push(record);
      }
      return records;
    },
  };
}
