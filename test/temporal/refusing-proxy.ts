import http2, { type ClientHttp2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { listen } from '../chaos/link.ts';

/** A gRPC proxy in front of Temporal that refuses calls as its frontend does when a rate limit is reached. */
export interface RefusingProxy extends AsyncDisposable {
  readonly address: string;
  /** Decides per call, by its method (`PollWorkflowTaskQueue`) and who makes it, whether it is refused. Calls that are under way go on. */
  refuses: (method: string, userAgent: string) => boolean;
  /** How often each method was refused. */
  readonly refused: Map<string, number>;
}

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = http2.constants;
/** What Temporal answers, without its details: gRPC's RESOURCE_EXHAUSTED, before the call is looked at. */
const REFUSAL = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '8', 'grpc-message': 'namespace rate limit exceeded' };

/** Forwards HTTP/2 stream by stream; `target` is `host:port`. */
export async function startRefusingProxy(target: string): Promise<RefusingProxy> {
  const refused = new Map<string, number>();
  let far: ClientHttp2Session | null = null;
  const sessions = new Set<{ destroy(): void }>();

  /** One connection for all, as a load balancer has it. */
  function connection(): ClientHttp2Session {
    if (far !== null && !far.closed && !far.destroyed) return far;
    const session = http2.connect(`http://${target}`);
    session.on('error', () => undefined);
    sessions.add(session);
    return (far = session);
  }

  function forward(near: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const call = connection().request(headers);
    call.on('response', (answer, flags) => {
      if (near.destroyed) return;
      const isLast = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      near.respond(answer, isLast ? { endStream: true } : { waitForTrailers: true });
    });
    let trailers: IncomingHttpHeaders = {};
    call.on('trailers', (received) => (trailers = received));
    near.on('wantTrailers', () => near.sendTrailers(trailers));
    // No `pipe`: the trailers come with the end, and both must have arrived before the near side ends.
    call.on('data', (chunk: Buffer) => near.write(chunk));
    call.on('end', () => near.end());
    call.on('error', () => near.close(NGHTTP2_CANCEL));
    near.on('data', (chunk: Buffer) => call.write(chunk));
    near.on('end', () => call.end());
    near.on('error', () => undefined);
    near.on('close', () => {
      if (!call.closed) call.close(near.rstCode === NGHTTP2_NO_ERROR ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    });
  }

  const server = http2.createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (near, headers) => {
    const method = String(headers[':path']).split('/').at(-1) ?? '';
    if (!proxy.refuses(method, String(headers['user-agent']))) return forward(near, headers);
    refused.set(method, (refused.get(method) ?? 0) + 1);
    near.on('error', () => undefined);
    near.resume();
    near.respond(REFUSAL, { endStream: true });
  });

  const port = await listen(server, 0);
  const proxy: RefusingProxy = {
    address: `127.0.0.1:${port}`,
    refuses: () => false,
    refused,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const session of sessions) session.destroy();
    },
  };
  return proxy;
}
