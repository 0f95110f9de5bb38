import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** The way from one process to a server, which can be harmed: nobody but this process notices. */
export interface Link extends AsyncDisposable {
  readonly port: number;
  /** Breaks every connection and refuses new ones. */
  cut(): void;
  /** Lets connections stand, and nothing through. */
  stall(): void;
  heal(): Promise<void>;
}

/** A TCP link to a port of the loopback address, on a free port of its own that it keeps. */
export async function startLink(target: number): Promise<Link> {
  const pairs = new Set<[Socket, Socket]>();
  let isStalled = false;

  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    for (const [from, to] of [pair, pair.toReversed()]) {
      if (from === undefined || to === undefined) continue;
      from.setNoDelay(true);
      from.on('data', (chunk) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on('drain', () => {
        if (!isStalled) from.resume();
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => (pairs.delete(pair), to.destroy()));
      if (isStalled) from.pause();
    }
  });
  const port = await listen(server, 0);

  return {
    port,
    cut() {
      server.close();
      for (const [near, far] of pairs) {
        near.resetAndDestroy();
        far.destroy();
      }
    },
    stall() {
      isStalled = true;
      for (const pair of pairs) for (const socket of pair) socket.pause();
    },
    async heal() {
      isStalled = false;
      for (const pair of pairs) for (const socket of pair) socket.resume();
      if (!server.listening) await listen(server, port);
    },
    async [Symbol.asyncDispose]() {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      if (server.listening) server.close();
    },
  };
}

/** Listens on the loopback address and answers the port. */
export async function listen(
  server: Pick<Server, 'listen' | 'address' | 'once' | 'on'> & NodeJS.EventEmitter,
  port: number,
): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
