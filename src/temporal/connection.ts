import { Client, Connection, type WorkflowClientInterceptor } from '@temporalio/client';

/** Where Temporal is and how to get in. */
export interface TemporalAddress {
  /** `host:port`. */
  address: string;
  namespace: string;
  /** Null for a server without authentication. */
  apiKey: string | null;
  tls: boolean;
}

export interface TemporalConnection {
  readonly client: Client;
  readonly connection: Connection;
}

/**
 * A client that connects with its first call, so that a process starts, and serves what it can, while Temporal is away.
 * Whoever calls sets a deadline (`client.withDeadline`); whoever connected closes `connection`. `interceptors` go around its calls.
 */
export function connectTemporal(
  { address, namespace, apiKey, tls }: TemporalAddress,
  interceptors: WorkflowClientInterceptor[] = [],
): TemporalConnection {
  const connection = Connection.lazy({ address, tls, connectTimeout: '5s', ...(apiKey === null ? {} : { apiKey }) });
  return { client: new Client({ connection, namespace, interceptors: { workflow: interceptors } }), connection };
}
