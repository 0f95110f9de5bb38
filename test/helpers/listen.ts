import { once } from 'node:events';
import type { Server } from 'node:http';

/** Has a server listen on a free port of this machine, and answers its origin; `await using` ends it with all connections. */
export async function listen(server: Server): Promise<AsyncDisposable & { origin: string }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    origin: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
