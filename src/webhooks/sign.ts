import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';

/** A new signing secret: `whsec_` and 32 random bytes in base64. */
export function newSigningSecret(): string {
  return PREFIX + randomBytes(32).toString('base64');
}

/** What clients see of a secret. */
export function hintOf(secret: string): string {
  return `${PREFIX}…${secret.slice(-4)}`;
}

/**
 * The headers of Standard Webhooks for a body: one signature for each secret, which the `unwrap` of the OpenAI SDKs checks. `seconds` is now;
 * receivers refuse what is more than five minutes off, so each try is signed anew.
 */
export function signedHeaders({ id, body, seconds, secrets }: { id: string; body: string; seconds: number; secrets: readonly string[] }) {
  const signatures = secrets.map((secret) => {
    const key = secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), 'base64') : secret;
    return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': signatures.join(' ') };
}
