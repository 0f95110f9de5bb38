import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { buildConnector } from 'undici';
import { ConnectTimeout, ProxyError } from './connect-fault.ts';

/** PEM texts for connections to a server; null for what is not set. */
export interface TlsFiles {
  /** Certificates that the server's certificate must be signed by. */
  ca: string | null;
  /** What we show of ourselves. */
  client: { certificate: string; key: string } | null;
}

/** How connections to a server are made. */
export interface Way {
  /** URL of an HTTP proxy, with user and password where it wants them; null connects directly. */
  proxy: string | null;
  tls: TlsFiles | null;
}

interface OpenerOptions extends Way {
  /** Scheme, host and port of the server. */
  origin: string;
  /** Longest time from the first packet to a connection that can be used, TLS and proxy included. */
  timeoutMs: number;
}

/**
 * Opens one connection: calls back once, with a socket that can be used, or with an error that `connectFault` puts into words.
 * What it returns gives the attempt up, without a call.
 */
export type OpenConnection = (done: (error: unknown, socket: Socket | null) => void) => () => void;

/** A dead peer that sent no reset is found after this time of silence, plus ten probes a second apart. */
const KEEP_ALIVE_MS = 30_000;

/** Connections on this way; TLS sessions are shared by all of them. */
export function createOpener({ origin, proxy, tls, timeoutMs }: OpenerOptions): OpenConnection {
  const { host, hostname, protocol, port } = new URL(origin);
  const portOrDefault = port || (protocol === 'https:' ? '443' : '80');
  const connect = buildConnector({
    // One timer of ours covers the proxy and the handshake as well.
    timeout: 0,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    ...(tls === null ? {} : { secureContext: contextOf(tls) }),
  });
  // Brackets of an IPv6 address belong to the URL, and to the target of a tunnel.
  const target = { host, hostname: hostname.replace(/^\[|\]$/g, ''), protocol, port: portOrDefault };
  const tunnel = proxy === null ? null : createTunnel(proxy, `${hostname}:${portOrDefault}`);

  return (done) => {
    let isOver = false;
    let isThrough = tunnel === null;
    let giveUpTunnel: (() => void) | null = null;
    let connecting: Socket | null = null;
    const end = (error: unknown, socket: Socket | null) => {
      if (isOver) return void socket?.destroy();
      isOver = true;
      clearTimeout(timer);
      done(error, socket);
    };
    const giveUp = () => {
      isOver = true;
      clearTimeout(timer);
      giveUpTunnel?.();
      connecting?.destroy();
    };
    const timer = setTimeout(() => {
      giveUp();
      const error = new ConnectTimeout(`no connection within ${timeoutMs} ms`);
      done(isThrough ? error : new ProxyError(null, error), null);
    }, timeoutMs);
    const connectTo = (httpSocket: Socket | undefined) => {
      const started: unknown = connect({ ...target, ...(httpSocket === undefined ? {} : { httpSocket }) }, (error, socket) =>
        end(error, socket ?? null),
      );
      // The types of undici leave out that it returns the socket.
      if (started instanceof Socket) connecting = started;
    };
    if (tunnel === null) connectTo(undefined);
    else {
      giveUpTunnel = tunnel((error, socket) => {
        isThrough = socket !== null;
        if (isOver || socket === null || protocol !== 'https:') end(error, socket);
        else connectTo(socket);
      });
    }
    return giveUp;
  };
}

function contextOf({ ca, client }: TlsFiles): SecureContext {
  return createSecureContext({
    ...(ca === null ? {} : { ca }),
    ...(client === null ? {} : { cert: client.certificate, key: client.key }),
  });
}

/** Opens tunnels through a proxy to `target`, also for plain HTTP: what is sent is the same as without a proxy. */
function createTunnel(proxy: string, target: string): OpenConnection {
  const url = new URL(proxy);
  const userinfo = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const headers = {
    host: target,
    ...(userinfo === ':' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(userinfo).toString('base64')}` }),
  };
  const options = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port || (url.protocol === 'https:' ? 443 : 80),
    method: 'CONNECT',
    path: target,
    headers,
    agent: false,
  };
  return (done) => {
    const asking = url.protocol === 'https:' ? requestHttps(options) : requestHttp(options);
    asking.on('connect', (answer, socket: Socket, head) => {
      if (answer.statusCode === 200) {
        socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
        if (head.length > 0) socket.unshift(head);
        return done(null, socket);
      }
      socket.destroy();
      done(new ProxyError(answer.statusCode ?? 0), null);
    });
    // An answer that is no answer to CONNECT, from what is no proxy.
    asking.on('response', (answer) => {
      answer.destroy();
      done(new ProxyError(answer.statusCode ?? 0), null);
    });
    asking.on('error', (error) => done(new ProxyError(null, error), null));
    asking.end();
    return () => asking.destroy();
  };
}
