import type { Config } from '../config/config.ts';
import { createWebhooks, type Webhooks } from '../webhooks/webhooks.ts';
import type { Shutdown } from './shutdown.ts';

/** What signs and sends webhooks; null where the configuration has no key for their secrets. */
export function openWebhooks({ webhooks, secrets }: Config, shutdown: Pick<Shutdown, 'closes'>): Webhooks | null {
  if (secrets.webhookKey === null) return null;
  const opened = createWebhooks({ key: secrets.webhookKey, allowPrivate: webhooks.allowPrivate, nowMs: Date.now });
  shutdown.closes('webhooks', async () => await opened.close());
  return opened;
}
