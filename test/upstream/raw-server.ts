import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** A server that answers with exactly the bytes a test wants, or with none. */
export interface RawServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Every request head and body received, as text, oldest first. */
  readonly requests: string[];
  /** Connections accepted so far. */
  readonly connections: number;
}

/** `onRequest` is called once for every complete request; `count` is from 1 over all connections. */
export async function startRawServer(
  onRequest: (socket: Socket, count: number, onConnection: number) => void,
  port = 0,
): Promise<RawServer> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    let received = Buffer.alloc(0);
    let onThisConnection = 0;
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const headEnd = received.indexOf('\r\n\r\n');
      if (headEnd === -1) return;
      const head = received.subarray(0, headEnd).toString();
      const end = headEnd + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (received.length < end) return;
      requests.push(received.subarray(0, end).toString('latin1'));
      received = received.subarray(end);
      onThisConnection += 1;
      onRequest(socket, requests.length, onThisConnection);
    });
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    requests,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** An HTTP answer as bytes. */
export function httpAnswer(status: number, body: string | Buffer = '{}', headers: Record<string, string> = {}): Buffer {
  const bytes = Buffer.from(body);
  const lines = Object.entries({ 'Content-Length': String(bytes.length), ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Whatever\r\n${lines.join('')}\r\n`), bytes]);
}
