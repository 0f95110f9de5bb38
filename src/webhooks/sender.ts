import { Agent, request } from 'undici';
import type { WebhookEvent, WebhookRecord } from '../domain/webhook.ts';
import type { SecretBox } from './secret-box.ts';
import { signedHeaders } from './sign.ts';
import { PrivateTarget, publicLookup, targetFault } from './target.ts';

/** Sends an event to an endpoint, once. */
export interface WebhookSender {
  /** The status of the answer, whatever it is; redirects are not followed. Throws `WebhookFailed` where none came. */
  send(record: WebhookRecord, event: WebhookEvent): Promise<number>;
  close(): Promise<void>;
}

/** The receiver gave no answer; the message says why. */
class WebhookFailed extends Error {
  override readonly name = 'WebhookFailed';
}

/** What a receiver has to answer. */
const TIMEOUT_MS = 10_000;
/** Of an answer that is longer the connection is closed. */
const ANSWER_BYTES = 64 * 1024;

/** Signs with every secret that has not expired. `nowMs` is the clock (Unix milliseconds). */
export function createWebhookSender({
  box,
  allowPrivate,
  nowMs,
}: {
  box: SecretBox;
  allowPrivate: boolean;
  nowMs: () => number;
}): WebhookSender {
  const agent = new Agent({ connect: { timeout: TIMEOUT_MS, ...(allowPrivate ? {} : { lookup: publicLookup }) } });

  return {
    async send({ endpoint, secrets }, event) {
      const fault = targetFault(endpoint.url, { allowPrivate });
      if (fault !== null) throw new WebhookFailed(fault);
      const body = JSON.stringify(event);
      const seconds = Math.floor(nowMs() / 1000);
      const live = secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > seconds);
      const signed = signedHeaders({ id: event.id, body, seconds, secrets: live.map(({ sealed }) => box.open(sealed)) });
      try {
        const answer = await request(endpoint.url, {
          method: 'POST',
          dispatcher: agent,
          headers: { 'content-type': 'application/json', 'user-agent': 'Nightshift', ...signed },
          body,
          headersTimeout: TIMEOUT_MS,
          bodyTimeout: TIMEOUT_MS,
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        // The status is the answer; whoever sends a body for ever is cut off by the signal.
        await answer.body.dump({ limit: ANSWER_BYTES }).catch(() => undefined);
        return answer.statusCode;
      } catch (error) {
        throw new WebhookFailed(reasonOf(error), { cause: error });
      }
    },

    close: async () => await agent.destroy(),
  };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  if (error instanceof PrivateTarget || error.cause instanceof PrivateTarget) return `refused: ${error.message}`;
  return error.message;
}
