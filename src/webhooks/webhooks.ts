import { createSecretBox } from './secret-box.ts';
import { createWebhookSender, type WebhookSender } from './sender.ts';
import { hintOf, newSigningSecret } from './sign.ts';
import { targetFault } from './target.ts';

/** Everything about webhooks that needs keys or the network. */
export interface Webhooks extends WebhookSender {
  /** A new signing secret: as it is shown once, as it is stored, and what is shown of it later. */
  newSecret(): { secret: string; sealed: string; hint: string };
  /** Why a URL cannot be that of a webhook; null when it can. */
  targetFault(url: string): string | null;
}

/** `key` encrypts the signing secrets; `allowPrivate` opens addresses of private networks, this machine and plain HTTP. */
export function createWebhooks({ key, allowPrivate, nowMs }: { key: string; allowPrivate: boolean; nowMs: () => number }): Webhooks {
  const box = createSecretBox(key);
  const sender = createWebhookSender({ box, allowPrivate, nowMs });
  return {
    ...sender,
    newSecret() {
      const secret = newSigningSecret();
      return { secret, sealed: box.seal(secret), hint: hintOf(secret) };
    },
    targetFault: (url) => targetFault(url, { allowPrivate }),
  };
}
