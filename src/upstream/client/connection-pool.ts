import type { Socket } from 'node:net';
import { Client } from 'undici';
import { codeOf, type ConnectFault, connectFault, isTlsCode } from './connect-fault.ts';
import type { OpenConnection } from './open-connection.ts';

/** One connection, which carries one request at a time. It is never opened again: a client that lost its socket is given up. */
export interface Connection {
  readonly client: Client;
  readonly socket: Socket;
  /** Whether it has carried a request: a server may close such a connection at any moment. */
  used: boolean;
  readonly expiresAtMs: number;
  /** What TLS said before the connection ended: undici forgets it when the end of the stream follows. */
  tlsError: Error | null;
}

/** Who wants a connection. Exactly one of the three is called, once, unless the wait is left before. */
export interface Waiter {
  /** Wants a connection that has carried no request. */
  readonly isFresh: boolean;
  onConnection(connection: Connection): void;
  onFault(fault: ConnectFault): void;
  onClosed(): void;
}

/** Keep-alive connections to one server, opened a few at a time. */
export interface ConnectionPool {
  /** Gives a connection now or later. Waiting ends with a fault when no connection comes. What it returns leaves the wait. */
  take(waiter: Waiter): () => void;
  /** The request is over: the connection goes to the next waiter, if it is alive and not too old. */
  release(connection: Connection): void;
  /** Ends all connections, also those in use. */
  close(): Promise<void>;
}

export interface ConnectionPoolOptions {
  origin: string;
  open: OpenConnection;
  /** Most connections at a time. */
  connections: number;
  /** Longest wait for a connection in which no other waiter gets one. */
  waitMs: number;
  /** A connection takes no new request after a time between the two, so that servers that join a name later get their part. */
  lifetimeMs?: readonly [least: number, most: number];
  monotonicMs?: () => number;
}

/** Connections that are being made at a time. More would overflow the listen queue of a small server, which then drops them for seconds. */
const MAX_CONNECTING = 8;
/** Pause after a connection failed while others are made. */
const RETRY_MS = 100;
const LIFETIME_MS = [60_000, 120_000] as const;

interface Waiting {
  readonly waiter: Waiter;
  /** Of all that ever waited, from 1. */
  readonly order: number;
  timer: NodeJS.Timeout;
}

/** An empty pool. */
export function createConnectionPool(options: ConnectionPoolOptions): ConnectionPool {
  const { origin, open, connections, waitMs, lifetimeMs = LIFETIME_MS, monotonicMs = () => performance.now() } = options;
  /** The last one was used last. */
  const idle: Connection[] = [];
  const alive = new Set<Connection>();
  const waiting = new Set<Waiting>();
  const attempts = new Set<() => void>();
  /** How many came to wait, how many of them got a connection, and when the last one did. */
  let [came, served, servedAtMs] = [0, 0, 0];
  let retry: NodeJS.Timeout | null = null;
  /** Connections that failed while others were being made; those who came before them wait for what becomes of the others. */
  let failed: { error: unknown; cameBefore: number; servedBefore: number } | null = null;
  let isClosed = false;

  function connectMore(): void {
    while (!isClosed && retry === null && failed === null && attempts.size < Math.min(MAX_CONNECTING, waiting.size)) {
      // A fresh one was asked for, and all there may be are there.
      if (alive.size + attempts.size >= connections && !dropIdle()) return;
      connect();
    }
  }

  function connect(): void {
    const [cameBefore, servedBefore] = [came, served];
    const giveUp = open((error, socket) => {
      attempts.delete(giveUp);
      if (socket === null) {
        failed = { error, cameBefore: Math.max(cameBefore, failed?.cameBefore ?? 0), servedBefore: failed?.servedBefore ?? servedBefore };
      } else failed = null;
      if (socket !== null) give(adopt(socket));
      else if (attempts.size === 0) judge();
      connectMore();
    });
    attempts.add(giveUp);
  }

  /** Connections failed, and none is being made any more: does nobody get one, or were these bad luck? */
  function judge(): void {
    if (failed === null) return;
    const { error, cameBefore, servedBefore } = failed;
    failed = null;
    if (served > servedBefore) {
      retry ??= setTimeout(() => ((retry = null), connectMore()), RETRY_MS);
      return;
    }
    const fault = connectFault(error);
    for (const each of waiting) if (each.order <= cameBefore) leave(each).onFault(fault);
  }

  function adopt(socket: Socket): Connection {
    const [least, most] = lifetimeMs;
    const connection: Connection = {
      client: createClient(origin, socket),
      socket,
      used: false,
      expiresAtMs: monotonicMs() + least + Math.random() * (most - least),
      tlsError: null,
    };
    alive.add(connection);
    // Until a request is sent nobody else listens.
    socket.on('error', (error) => {
      if (isTlsCode(codeOf(error))) connection.tlsError ??= error;
    });
    socket.once('close', () => {
      alive.delete(connection);
      const at = idle.indexOf(connection);
      if (at !== -1) idle.splice(at, 1);
      connectMore();
    });
    return connection;
  }

  function give(connection: Connection): void {
    if (isClosed || connection.socket.destroyed || monotonicMs() >= connection.expiresAtMs) return drop(connection);
    for (const each of waiting) {
      if (each.waiter.isFresh && connection.used) continue;
      served += 1;
      servedAtMs = monotonicMs();
      return leave(each).onConnection(connection);
    }
    // Those who wait want another one. One that nobody needed any more would not notice when the server closes it.
    if (waiting.size > 0 || !connection.used) drop(connection);
    else idle.push(connection);
  }

  function takeIdle(): Connection | null {
    for (let last = idle.pop(); last !== undefined; last = idle.pop()) {
      if (!last.socket.destroyed && monotonicMs() < last.expiresAtMs) return last;
      drop(last);
    }
    return null;
  }

  function dropIdle(): boolean {
    const oldest = idle.shift();
    if (oldest !== undefined) drop(oldest);
    return oldest !== undefined;
  }

  function drop(connection: Connection): void {
    alive.delete(connection);
    void connection.client.destroy();
    connection.socket.destroy();
  }

  function leave(each: Waiting): Waiter {
    waiting.delete(each);
    clearTimeout(each.timer);
    return each.waiter;
  }

  /** Called when somebody has waited for `waitMs`, and again when others got connections meanwhile. */
  function onTooLong(each: Waiting): void {
    const restMs = servedAtMs + waitMs - monotonicMs();
    if (served > 0 && restMs > 0) each.timer = setTimeout(onTooLong, Math.ceil(restMs), each);
    else leave(each).onFault(NONE_CAME);
  }

  return {
    take(waiter) {
      if (isClosed) return (waiter.onClosed(), () => undefined);
      const connection = waiter.isFresh ? null : takeIdle();
      if (connection !== null) return (waiter.onConnection(connection), () => undefined);
      came += 1;
      const each: Waiting = { waiter, order: came, timer: setTimeout(() => onTooLong(each), waitMs) };
      waiting.add(each);
      connectMore();
      return () => void leave(each);
    },
    // undici is done with a request only after it told so.
    release: (connection) => queueMicrotask(() => give(connection)),
    async close() {
      isClosed = true;
      if (retry !== null) clearTimeout(retry);
      for (const giveUp of attempts) giveUp();
      for (const each of waiting) leave(each).onClosed();
      await Promise.all([...alive].map(async ({ client, socket }) => (await client.destroy(), socket.destroy())));
    },
  };
}

const NONE_CAME: ConnectFault = {
  cause: { class: 'timeout', code: 'NO_FREE_CONNECTION' },
  message: 'no connection to the upstream was free in time (NO_FREE_CONNECTION)',
};

/** A client that has this socket and never gets another. */
function createClient(origin: string, socket: Socket): Client {
  let isTaken = false;
  return new Client(origin, {
    connect(_, done) {
      const isFirst = !isTaken;
      isTaken = true;
      // undici would not go on if it got the socket at once.
      queueMicrotask(() => (isFirst && !socket.destroyed ? done(null, socket) : done(new Error('the connection is gone'), null)));
    },
  });
}
