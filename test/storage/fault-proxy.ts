import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';

/**
 * What goes wrong with one request: an answer `503` (SlowDown) that MinIO never saw; the one of a `full` disk; silence; half a second that nothing happens
 * (`slow`); an answer cut off in the middle, with its connection (`cut`) or in order (`cut-closing`); or a request that MinIO carries out but whose answer is a 500 (`answer-500`) or gets lost with its connection (`answer-lost`).
 */
export type Fault = '503' | 'full' | 'silence' | 'slow' | 'cut' | 'cut-closing' | 'answer-500' | 'answer-lost';

/** A real HTTP proxy in front of MinIO that does harm on request. */
export interface FaultProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** Decides per request; null lets it pass. */
  fault: (method: string, path: string) => Fault | null;
  /** Requests seen, as `PUT /bucket/key?query`. */
  readonly seen: string[];
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const seen: string[] = [];
  // Longer than anybody keeps a connection that is idle: who uses one while it is being closed would see a fault of ours.
  const server = http.createServer({ keepAliveTimeout: 65_000 }, (incoming, outgoing) => {
    const [method, path] = [incoming.method ?? '', incoming.url ?? ''];
    seen.push(`${method} ${path}`);
    const fault = proxy.fault(method, path);
    if (fault === 'silence') return void incoming.resume();
    if (fault === '503') return void incoming.resume().on('end', () => answer(outgoing, 503, 'SlowDown'));
    if (fault === 'full') return void incoming.resume().on('end', () => answer(outgoing, 507, 'XMinioStorageFull'));
    const forward = () => {
      const forwarded = http.request({ hostname, port, method, path, headers: incoming.headers }, (response) => {
        if (fault === 'answer-500') return void response.resume().on('end', () => answer(outgoing, 500));
        if (fault === 'answer-lost') return void response.resume().on('end', () => outgoing.destroy());
        outgoing.writeHead(
          response.statusCode ?? 0,
          fault === 'cut-closing' ? { ...response.headers, connection: 'close' } : response.headers,
        );
        if (fault === 'cut') return cut(response, outgoing, () => outgoing.destroy());
        if (fault === 'cut-closing') return cut(response, outgoing, () => outgoing.socket?.end());
        // An answer that breaks off behind us breaks off before us as well.
        response.on('close', () => response.complete || outgoing.destroy());
        response.pipe(outgoing);
      });
      forwarded.on('error', () => outgoing.destroy());
      incoming.pipe(forwarded);
    };
    if (fault === 'slow') setTimeout(forward, 500);
    else forward();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${address.port}`,
    fault: () => null,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

/** Does harm to the first `count` requests that match. */
export function first(count: number, fault: Fault, matches: (method: string, path: string) => boolean = () => true): FaultProxy['fault'] {
  let left = count;
  return (method, path) => {
    if (left === 0 || !matches(method, path)) return null;
    left -= 1;
    return fault;
  };
}

function answer(outgoing: ServerResponse, status: number, code = 'Injected'): void {
  outgoing.writeHead(status);
  outgoing.end(`<Error><Code>${code}</Code><Message>injected</Message></Error>`);
}

function cut(response: IncomingMessage, outgoing: ServerResponse, end: () => void): void {
  const half = Math.floor(Number(response.headers['content-length']) / 2);
  let sent = 0;
  response.on('data', (chunk: Buffer) => {
    const some = chunk.subarray(0, half - sent);
    sent += some.length;
    outgoing.write(some, () => {
      if (sent >= half) end();
    });
  });
}
