import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { listen } from '../chaos/link.ts';

/** Which request is meant; `body` is its text. */
export type Match = (request: { method: string; path: string; body: string }) => boolean;

/** One request that is stopped at an exact moment. */
export interface Hold {
  /** Whether the request has come; for `after`, whether MinIO has carried it out. */
  readonly isReached: boolean;
  /** Lets it go on, even if whoever sent it stands still or is gone. */
  release(): void;
  /** Breaks its connection: it never happens (`before`), or nobody learns that it did (`after`). */
  drop(): void;
}

/** A proxy in front of MinIO that can stop a request before MinIO sees it, or its answer on the way back. */
export interface HoldingProxy extends AsyncDisposable {
  readonly port: number;
  /** Holds the first request that matches from now on, and no other. */
  hold(when: 'before' | 'after', match: Match): Hold;
}

interface Armed {
  when: 'before' | 'after';
  match: Match;
  /** Answers whether it goes on. */
  reach(): Promise<boolean>;
}

const SIGN_OF_LIFE_MS = 5_000;

/** Signatures stay valid, because the Host header goes on as it came. `onRequest` hears of everything that passes. */
export async function startHoldingProxy(target: number, onRequest: (path: string) => void): Promise<HoldingProxy> {
  const agent = new http.Agent({ keepAlive: true });
  const armed = new Set<Armed>();

  async function forward(incoming: IncomingMessage, outgoing: ServerResponse, body: Buffer): Promise<void> {
    const [method, path] = [incoming.method ?? '', decodeURIComponent(incoming.url ?? '')];
    onRequest(path);
    const text = armed.size === 0 ? '' : body.toString('latin1');
    const hold = [...armed].find(({ match }) => match({ method, path, body: text }));
    if (hold !== undefined) armed.delete(hold);
    const reach = async (): Promise<boolean> => {
      // Who hears nothing for 30 s gives the request up.
      const alive = setInterval(() => outgoing.writeProcessing(), SIGN_OF_LIFE_MS);
      outgoing.once('close', () => clearInterval(alive));
      const goesOn = await hold?.reach();
      clearInterval(alive);
      return goesOn ?? true;
    };
    if (hold?.when === 'before' && !(await reach())) return void outgoing.destroy();
    const sent = http.request(
      { host: '127.0.0.1', port: target, method, path: incoming.url, headers: incoming.headers, agent },
      (answer) => {
        const reply = () => {
          outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(outgoing);
        };
        if (hold?.when === 'after') void reach().then((goesOn) => (goesOn ? reply() : outgoing.destroy()));
        else reply();
      },
    );
    sent.on('error', () => outgoing.destroy());
    sent.end(body);
  }

  const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => void forward(incoming, outgoing, Buffer.concat(chunks)));
  });

  return {
    port: await listen(server, 0),
    hold(when, match) {
      const released = Promise.withResolvers<boolean>();
      let isReached = false;
      armed.add({
        when,
        match,
        async reach() {
          isReached = true;
          return await released.promise;
        },
      });
      return {
        get isReached() {
          return isReached;
        },
        release: () => released.resolve(true),
        drop: () => released.resolve(false),
      };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
    },
  };
}
