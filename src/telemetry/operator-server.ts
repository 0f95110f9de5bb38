import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { Metrics } from './metrics.ts';

/** What an operator may ask a process, without a key: so only where operators come. */
export interface OperatorServer {
  /** Whether the process can do its work, and what that depends on. */
  ready: () => Promise<{ ready: boolean } & Readonly<Record<string, boolean>>>;
  metrics: Pick<Metrics, 'text' | 'contentType'>;
  /** Further metrics in the same format, from elsewhere in this process; empty when there are none. */
  more: () => Promise<string>;
}

/** Serves `/metrics`, `/health` and `/ready`; answers how to close it. Rejects when the port is taken. */
export async function serveOperators({ ready, metrics, more }: OperatorServer, host: string, port: number): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    answer(request.url ?? '', response).catch((error: unknown) => {
      if (!response.headersSent) send(response, 500, 'text/plain', `${error instanceof Error ? error.message : String(error)}\n`);
    });
  });
  server.listen(port, host);
  await once(server, 'listening');

  async function answer(path: string, response: ServerResponse): Promise<void> {
    if (path === '/metrics') {
      // What is served elsewhere may be away; our own metrics are most wanted then.
      const [own, others] = await Promise.all([metrics.text(), more().catch(() => '')]);
      send(response, 200, metrics.contentType, `${own.trimEnd()}\n${others}`);
    } else if (path === '/health') {
      send(response, 200, 'application/json', JSON.stringify({ status: 'ok' }));
    } else if (path === '/ready') {
      const found = await ready();
      send(response, found.ready ? 200 : 503, 'application/json', JSON.stringify(found));
    } else {
      send(response, 404, 'text/plain', '/metrics, /health, /ready\n');
    }
  }

  return async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
