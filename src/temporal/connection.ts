import { Client, Connection, type TLSConfig, type WorkflowClientInterceptor } from '@temporalio/client';

/** Where Temporal is and how to get in. */
export interface TemporalAddress {
  /** `host:port`. */
  address: string;
  namespace: string;
  /** Null for a server without authentication. */
  apiKey: string | null;
  tls: boolean;
  /** The name that the server's certificate must have; null for the host of the address. */
  serverName?: string | null;
  /** In PEM format: what signed the server's certificate, and what the client shows of itself. Null for the usual authorities, and for nothing. */
  ca?: string | null;
  client?: { certificate: string; key: string } | null;
}

/** How to connect, for the client and for the workers alike. */
export function connectionOptions({ address, apiKey, tls, serverName = null, ca = null, client = null }: TemporalAddress) {
  const certificates: TLSConfig = {
    ...(serverName === null ? {} : { serverNameOverride: serverName }),
    ...(ca === null ? {} : { serverRootCACertificate: Buffer.from(ca) }),
    ...(client === null ? {} : { clientCertPair: { crt: Buffer.from(client.certificate), key: Buffer.from(client.key) } }),
  };
  return { address, tls: tls ? certificates : false, ...(apiKey === null ? {} : { apiKey }) };
}

export interface TemporalConnection {
  readonly client: Client;
  readonly connection: Connection;
}

/**
 * A client that connects with its first call, so that a process starts, and serves what it can, while Temporal is away.
 * Whoever calls sets a deadline (`client.withDeadline`); whoever connected closes `connection`. `interceptors` go around its calls.
 */
export function connectTemporal(address: TemporalAddress, interceptors: WorkflowClientInterceptor[] = []): TemporalConnection {
  const connection = Connection.lazy({ ...connectionOptions(address), connectTimeout: '5s' });
  return { client: new Client({ connection, namespace: address.namespace, interceptors: { workflow: interceptors } }), connection };
}
