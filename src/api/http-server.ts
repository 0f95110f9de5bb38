import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type Koa from 'koa';
import { ApiError, envelope } from './errors/api-error.ts';
import { methodNotAllowed } from './errors/request-errors.ts';
import type { ApiState } from './context.ts';
import { READ_PACE, type ReadPace, watchSlowReaders } from './slow-readers.ts';

/** Times and bounds of the connections of an API process. */
export interface ConnectionBounds {
  /** A connection on which nothing moves for so long is closed: longer than any client waits. */
  idleMs: number;
  /** Time in which the headers of a request have to arrive. */
  headersMs: number;
  /** How long a connection stays open between two requests: longer than the 60 s after which load balancers give it up themselves. */
  keepAliveMs: number;
  maxConnections: number;
  readPace: ReadPace;
}

export const CONNECTION_BOUNDS: ConnectionBounds = {
  idleMs: 10 * 60 * 1000,
  headersMs: 60_000,
  keepAliveMs: 75_000,
  maxConnections: 5000,
  readPace: READ_PACE,
};

/** Requests that may wait on a connection for the answer before theirs; no SDK, browser or proxy sends one so early. */
const MAX_PIPELINED = 16;
/** Node warns of a leak at 11. Our own parts, Koa and `pipeline` listen 12 times for the end of a stream of events. */
const MAX_LISTENERS = 20;
/** Bytes of all headers of a request together. */
const MAX_HEADER_BYTES = 16 * 1024;

const NOT_HTTP = { status: 400, message: 'The request could not be parsed as HTTP.' };
/** What Node calls it when a request cannot be read, and what its client is told. */
const UNREADABLE: Readonly<Record<string, typeof NOT_HTTP>> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: `The headers of the request are too many, or larger than ${MAX_HEADER_BYTES} bytes.` },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'The headers of the request did not arrive in time.' },
};

type Exchange = readonly [request: IncomingMessage, response: ServerResponse];

/** What a connection was asked for. */
interface Asked {
  /** The answer that it was asked for last. */
  last: ServerResponse;
  /** Requests behind the one that is being answered. */
  waiting: Exchange[];
}

/**
 * The HTTP server that fits the app, not yet listening. What cannot even be parsed as HTTP gets the envelope too. Requests of one
 * connection are answered one after the other, because Node would begin hundreds of them out of one read.
 */
export function createHttpServer(
  app: Koa<ApiState>,
  randomHex: (bytes: number) => string,
  bounds: ConnectionBounds = CONNECTION_BOUNDS,
): Server {
  const handle = app.callback();
  const slowReaders = watchSlowReaders(bounds.readPace);
  const asked = new WeakMap<Socket, Asked>();

  function receive(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const before = asked.get(socket);
    if (before === undefined || (before.last.closed && before.waiting.length === 0)) {
      asked.set(socket, { last: response, waiting: [] });
      return serve(request, response);
    }
    if (before.waiting.length >= MAX_PIPELINED) return void socket.destroy();
    before.last = response;
    before.waiting.push([request, response]);
  }

  function serve(request: IncomingMessage, response: ServerResponse): void {
    response.setMaxListeners(MAX_LISTENERS);
    slowReaders.watch(response);
    response.once('close', () => {
      const next = asked.get(request.socket)?.waiting.shift();
      if (next !== undefined && !request.socket.destroyed) serve(...next);
    });
    // While it closes, a client that goes on asking on one connection would hold it open until the deadline.
    if (!server.listening) response.setHeader('Connection', 'close');
    // Koa answers what a handler throws. What it throws itself ends this connection, never the process.
    handle(request, response).catch(() => response.destroy());
  }

  /** The last answer of a connection, where there is no request that the app could answer. */
  function refuse(socket: Socket, error: ApiError): void {
    const last = asked.get(socket)?.last;
    if (last !== undefined && !last.writableFinished && (last.headersSent || last.req.complete)) {
      // Ours would be taken for the answer to the request before, or stand in the middle of it: that one is the last.
      if (!last.headersSent) last.setHeader('Connection', 'close');
      return void last.once('close', () => socket.destroySoon());
    }
    const body = JSON.stringify(envelope(error));
    const headers = [
      `x-request-id: req_${randomHex(16)}`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ];
    socket.end(`HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\n${headers.join('\r\n')}\r\n\r\n${body}`);
  }

  // A missing Host is refused by the app: Node's own 400 is empty.
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: bounds.headersMs,
      connectionsCheckingInterval: Math.min(bounds.headersMs, 30_000),
      requireHostHeader: false,
    },
    receive,
  );
  // Node gives a whole request 300 s, too little for 512 MB on a slow line; bodies have an idle timeout of their own.
  server.requestTimeout = 0;
  server.timeout = bounds.idleMs;
  server.keepAliveTimeout = bounds.keepAliveMs;
  server.maxConnections = bounds.maxConnections;
  server.on('close', slowReaders.close);
  // Without a listener Node answers an empty 417 itself; the app refuses what it does not know.
  server.on('checkExpectation', receive);
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    // Node has let go of the connection: nobody else hears its errors or closes it.
    socket.on('error', () => socket.destroy());
    socket.once('finish', () => socket.destroy());
    refuse(socket, methodNotAllowed('CONNECT', request.url ?? ''));
  });
  server.on('clientError', (error: Error & { code?: string }, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    refuse(socket, new ApiError(UNREADABLE[error.code ?? ''] ?? NOT_HTTP));
  });
  return server;
}
