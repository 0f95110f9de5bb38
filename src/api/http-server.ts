import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type Koa from 'koa';
import { ApiError, envelope } from '../domain/errors.ts';
import type { ApiState } from './context.ts';

/** A connection on which nothing moves for so long is closed: longer than any client waits. */
const SOCKET_IDLE_MS = 10 * 60 * 1000;

/** The HTTP server that fits the app, not yet listening. What cannot even be parsed as HTTP gets the envelope too. */
export function createHttpServer(app: Koa<ApiState>, randomHex: (bytes: number) => string): Server {
  const handle = app.callback();
  const server = createServer((request, response) => void handle(request, response));
  // Node gives a whole request 300 s, too little for 512 MB on a slow line; bodies have an idle timeout of their own.
  server.requestTimeout = 0;
  server.timeout = SOCKET_IDLE_MS;
  server.on('clientError', (error: Error & { code?: string }, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) return void socket.destroy();
    const [status, reason] = error.code === 'HPE_HEADER_OVERFLOW' ? [431, 'Request Header Fields Too Large'] : [400, 'Bad Request'];
    const body = JSON.stringify(envelope(new ApiError({ status, message: 'The request could not be parsed as HTTP.' })));
    const headers = [
      `x-request-id: req_${randomHex(16)}`,
      'content-type: application/json',
      `content-length: ${body.length}`,
      'connection: close',
    ];
    socket.end(`HTTP/1.1 ${status} ${reason}\r\n${headers.join('\r\n')}\r\n\r\n${body}`);
  });
  return server;
}
