import { createServer, type IncomingHttpHeaders } from 'node:http';
import { listen } from './listen.ts';

/** A webhook as it arrived. */
export interface ReceivedWebhook {
  headers: IncomingHttpHeaders;
  body: string;
}

/** Takes webhooks on a port of its own. */
export interface WebhookReceiver extends AsyncDisposable {
  readonly url: string;
  readonly received: ReceivedWebhook[];
  /** Statuses of the next answers, in order; null answers nothing, and after the last one it is 200. */
  statuses: (number | null)[];
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const received: ReceivedWebhook[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      const status = receiver.statuses.length > 0 ? receiver.statuses.shift() : 200;
      if (typeof status === 'number') response.writeHead(status, { location: '/elsewhere' }).end('thanks');
    });
  });
  const listening = await listen(server);
  const receiver: WebhookReceiver = {
    ...listening,
    url: `${listening.origin}/hooks`,
    received,
    statuses: [],
  };
  return receiver;
}
