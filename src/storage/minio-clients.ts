import http from 'node:http';
import https from 'node:https';
import { Client } from 'minio';
import { createTransport, type Patience } from './minio-transport.ts';
import { createObjectReader, type ObjectReader } from './object-reader.ts';

/** Where the bucket is; `endpoint` is `http://host:port` or `https://host`. */
export interface MinioOptions {
  endpoint: string;
  bucket: string;
  accessKey: string;
  secretKey: string;
  region: string;
  /** Silence of the server after which a call fails; 30 s by default. */
  timeoutMs?: number;
  /**
   * Longest until the server begins to answer, where somebody waits for it; no limit by default. Sending a large body is not
   * meant: that takes as long as it takes.
   */
  answerMs?: number;
}

/** Ways to one server, so that neither bodies nor their slow readers hold up a record's PUT. */
export interface MinioClients {
  readonly calls: Client;
  /** For bodies that take time to send. */
  readonly uploads: Client;
  /** For bodies that take time to read, with as many connections as it takes. */
  readonly downloads: ObjectReader;
  /** Ends all connections. */
  close(): void;
}

/** Above this minio-js would cut a body into parts by itself, badly; no body of ours gets there. */
const MAX_BODY_BYTES = 5 * 1024 ** 3;

export function createMinioClients(options: MinioOptions): MinioClients {
  const url = new URL(options.endpoint);
  const { timeoutMs: silenceMs = 30_000, answerMs = null } = options;
  const agents: http.Agent[] = [];

  function newClient(maxSockets: number, patience: Patience): Client {
    const transportAgent = new (url.protocol === 'https:' ? https : http).Agent({ keepAlive: true, maxSockets });
    agents.push(transportAgent);
    return new Client({
      endPoint: url.hostname,
      useSSL: url.protocol === 'https:',
      ...(url.port === '' ? {} : { port: Number(url.port) }),
      accessKey: options.accessKey,
      secretKey: options.secretKey,
      region: options.region,
      partSize: MAX_BODY_BYTES,
      transport: createTransport(url.protocol, patience),
      transportAgent,
      // Retries are ours (`withRetries`): minio-js would not say that it repeated a write, and prints each one.
      retryOptions: { maximumRetryCount: 0 },
    });
  }

  const patienceMs = Math.min(silenceMs, answerMs ?? silenceMs);
  const calls = newClient(64, { silenceMs: patienceMs, answerMs });
  const downloads = createObjectReader({ client: calls, bucket: options.bucket, silenceMs, answerMs: patienceMs });
  return {
    calls,
    uploads: newClient(64, { silenceMs, answerMs: null }),
    downloads,
    close() {
      for (const agent of agents) agent.destroy();
      downloads.close();
    },
  };
}
