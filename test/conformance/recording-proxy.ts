import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, request } from 'node:http';

/** Stands between a client and the API, writes down what the client sends, and can lose answers. */
export interface RecordingProxy extends AsyncDisposable {
  /** With `/v1`. */
  readonly baseURL: string;
  readonly seen: readonly Seen[];
  /** The next so many requests are passed on, and once they are answered their connections break: the client never sees the answers. */
  loseAnswers(count: number): void;
}

export interface Seen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** Of the API, also when it was lost. */
  status: number | null;
  body: string;
}

export async function startRecordingProxy(origin: string): Promise<RecordingProxy> {
  const seen: Seen[] = [];
  let toLose = 0;
  // Longer than any client keeps a connection that is idle: who uses one while it is being closed would have to try again.
  const server = createServer({ keepAliveTimeout: 65_000 }, (incoming, outgoing) => {
    const entry: Seen = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers, status: null, body: '' };
    seen.push(entry);
    const isLost = toLose > 0;
    if (isLost) toLose -= 1;
    const onward = request(origin + entry.path, { method: entry.method, headers: incoming.headers }, (answer) => {
      entry.status = answer.statusCode ?? null;
      answer.on('data', (chunk: Buffer) => (entry.body += chunk.toString()));
      if (isLost) return void answer.on('end', () => outgoing.destroy());
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    baseURL: `http://127.0.0.1:${address.port}/v1`,
    seen,
    loseAnswers: (count) => (toLose = count),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
