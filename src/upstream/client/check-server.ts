import { setTimeout as delay } from 'node:timers/promises';
import { parseBaseUrl } from './base-url.ts';
import { codeOf, type ConnectFault, connectFault, isTlsCode } from './connect-fault.ts';
import { createOpener, type Way } from './open-connection.ts';

const TIMEOUT_MS = 10_000;
/** With TLS 1.3 a server refuses our certificate only after the handshake. */
const REFUSAL_MS = 500;

/** Makes one connection to a server and sends nothing. Resolves to why that fails, or null; never rejects. */
export async function checkServer(
  baseUrl: string,
  way: Way = { proxy: null, tls: null },
  timeoutMs = TIMEOUT_MS,
): Promise<ConnectFault | null> {
  const { origin } = parseBaseUrl(baseUrl);
  const { promise, resolve } = Promise.withResolvers<ConnectFault | null>();
  createOpener({ origin, ...way, timeoutMs })((error, socket) => {
    if (socket === null) return resolve(connectFault(error));
    socket.on('error', (late) => {
      if (isTlsCode(codeOf(late))) resolve(connectFault(late));
    });
    // Errors of TLS come only to a socket that is read.
    socket.resume();
    void delay(origin.startsWith('https:') ? REFUSAL_MS : 0).then(() => {
      socket.destroy();
      resolve(null);
    });
  });
  return await promise;
}
