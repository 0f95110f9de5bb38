import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

/** An HTTP proxy that opens tunnels. */
export interface ProxyServer extends AsyncDisposable {
  readonly port: number;
  /** What each CONNECT asked for, oldest first. */
  readonly tunnels: { target: string; authorization: string | undefined }[];
  /** Most CONNECTs that waited for their answer at a time. */
  readonly mostWaiting: number;
}

/** `decide` answers the status of the `count`th CONNECT, possibly later; anything but 200 opens no tunnel. `target` replaces its goal. */
export async function startProxy(
  decide: (request: IncomingMessage, count: number) => number | Promise<number> = () => 200,
  target: (count: number) => number | null = () => null,
): Promise<ProxyServer> {
  const tunnels: ProxyServer['tunnels'] = [];
  const sockets = new Set<Socket>();
  let [waiting, mostWaiting] = [0, 0];
  const server = createServer((_, response) => response.writeHead(400).end());
  const open = async (request: IncomingMessage, near: Socket) => {
    const goal = request.url ?? '';
    tunnels.push({ target: goal, authorization: request.headers['proxy-authorization'] });
    const count = tunnels.length;
    waiting += 1;
    mostWaiting = Math.max(mostWaiting, waiting);
    const status = await decide(request, count);
    waiting -= 1;
    if (status !== 200) return void near.end(`HTTP/1.1 ${status} Whatever\r\nContent-Length: 0\r\n\r\n`);
    const far = connect(target(count) ?? Number(goal.split(':').at(-1)), '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined).on('close', () => (sockets.delete(one), other.destroy()));
    }
    far.once('connect', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      near.pipe(far).pipe(near);
    });
  };
  server.on(
    'connect',
    (request, near: Socket) =>
      void open(
        request,
        near.on('error', () => undefined),
      ),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    tunnels,
    get mostWaiting() {
      return mostWaiting;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
    },
  };
}
