import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { Metrics } from './metrics.ts';

/** What an operator may ask a process, without a key: so only where operators come. */
export interface OperatorServer {
  /** Parts of the process by name, and whether each is there. */
  ready: () => Promise<Readonly<Record<string, boolean>>>;
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
      const [own, others] = await Promise.all([metrics.text(), more()]);
      send(response, 200, metrics.contentType, `${own.trimEnd()}\n${others}`);
    } else if (path === '/health') {
      send(response, 200, 'application/json', JSON.stringify({ status: 'ok' }));
    } else if (path === '/ready') {
      const parts = await ready();
      const isReady = Object.values(parts).every(Boolean);
      send(response, isReady ? 200 : 503, 'application/json', JSON.stringify({ ready: isReady, ...parts }));
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
