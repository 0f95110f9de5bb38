import type { Batch, TerminalStatus } from './batch.ts';

/** What a webhook may be called for: the ends of a batch (docs/webhooks.md). */
export const WEBHOOK_EVENT_TYPES = ['batch.cancelled', 'batch.completed', 'batch.expired', 'batch.failed'] as const;
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

/** A webhook endpoint as clients see it. Timestamps are Unix seconds. */
export interface WebhookEndpoint {
  id: string;
  object: 'webhook_endpoint';
  name: string;
  url: string;
  event_types: WebhookEventType[];
  created_at: number;
  updated_at: number;
  /** The last characters of the newest secret. */
  signing_secret_hint: string;
}

/** What the bucket holds of it. */
export interface WebhookRecord {
  endpoint: WebhookEndpoint;
  tenant: string;
  /** Encrypted, newest first: at most two. */
  secrets: SealedSecret[];
}

export interface SealedSecret {
  sealed: string;
  /** Unix seconds; null for the newest. */
  expiresAt: number | null;
}

/** What is sent. It is thin: the receiver reads the batch. */
export interface WebhookEvent {
  /** `evt_` and 32 hex digits; the same at every try. */
  id: string;
  object: 'event';
  type: WebhookEventType;
  created_at: number;
  data: { id: string };
}

/** Webhook endpoints that a tenant may have. */
export const MAX_WEBHOOK_ENDPOINTS = 20;
/** How long the old secret goes on signing after a rotation that keeps it. */
export const OLD_SECRET_LIFE_SECONDS = 24 * 3600;

/** The one event of a batch that has ended. Its id is that of the batch, so that a repeat is the same event. */
export function endEventOf(batch: Batch & { status: TerminalStatus }): WebhookEvent {
  const { id, status } = batch;
  const created_at = batch[`${status}_at`] ?? batch.created_at;
  return { id: `evt_${id.slice('batch_'.length)}`, object: 'event', type: `batch.${status}`, created_at, data: { id } };
}
