import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type Koa from 'koa';
import { ApiError, envelope, methodNotAllowed } from '../domain/errors.ts';
import type { ApiState } from './context.ts';

/** A connection on which nothing moves for so long is closed: longer than any client waits. */
const SOCKET_IDLE_MS = 10 * 60 * 1000;

/** Time in which the headers of a request have to arrive. */
const HEADERS_MS = 60_000;
/** Bytes of all headers of a request together. */
const MAX_HEADER_BYTES = 16 * 1024;

const NOT_HTTP = { status: 400, message: 'The request could not be parsed as HTTP.' };
/** What Node calls it when a request cannot be read, and what its client is told. */
const UNREADABLE: Readonly<Record<string, typeof NOT_HTTP>> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: `The headers of the request are too many, or larger than ${MAX_HEADER_BYTES} bytes.` },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'The headers of the request did not arrive in time.' },
};

/** The HTTP server that fits the app, not yet listening. What cannot even be parsed as HTTP gets the envelope too. */
export function createHttpServer(app: Koa<ApiState>, randomHex: (bytes: number) => string): Server {
  const handle = app.callback();
  /** The answer that each connection was asked for last. */
  const lastAnswers = new WeakMap<Socket, ServerResponse>();

  function serve(request: IncomingMessage, response: ServerResponse): void {
    lastAnswers.set(request.socket, response);
    // While it closes, a client that goes on asking on one connection would hold it open until the deadline.
    if (!server.listening) response.setHeader('Connection', 'close');
    // Koa answers what a handler throws. What it throws itself ends this connection, never the process.
    handle(request, response).catch(() => response.destroy());
  }

  /** The last answer of a connection, where there is no request that the app could answer. */
  function refuse(socket: Socket, error: ApiError): void {
    const last = lastAnswers.get(socket);
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
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_MS, requireHostHeader: false }, serve);
  // Node gives a whole request 300 s, too little for 512 MB on a slow line; bodies have an idle timeout of their own.
  server.requestTimeout = 0;
  server.timeout = SOCKET_IDLE_MS;
  // Without a listener Node answers an empty 417 itself; the app refuses what it does not know.
  server.on('checkExpectation', serve);
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
