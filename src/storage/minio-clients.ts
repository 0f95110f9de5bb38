import http from 'node:http';
import https from 'node:https';
import { Client } from 'minio';
import type { S3Credentials } from './aws-credentials.ts';
import { createTransport, type Patience } from './minio-transport.ts';
import { createObjectReader, type ObjectReader } from './object-reader.ts';

/** Keys that stay, or what answers credentials that are good at this moment. */
type Access = { accessKey: string; secretKey: string } | { credentials: () => Promise<S3Credentials> };

/** Where the bucket is, and how to get in; `endpoint` is `http://host:port` or `https://host`. */
export type MinioOptions = MinioPlace & Access;

interface MinioPlace {
  endpoint: string;
  bucket: string;
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
  readonly calls: MinioClient;
  /** For bodies that take time to send. */
  readonly uploads: Client;
  /** For bodies that take time to read, with as many connections as it takes. */
  readonly downloads: ObjectReader;
  /** Ends all connections. */
  close(): void;
}

/** With the parts of an upload, which minio-js keeps to itself. */
class MinioClient extends Client {
  async partsOf(bucket: string, key: string, uploadId: string) {
    return await this.listParts(bucket, key, uploadId);
  }
}

/** Above this minio-js would cut a body into parts by itself, badly; no body of ours gets there. */
const MAX_BODY_BYTES = 5 * 1024 ** 3;

export function createMinioClients(options: MinioOptions): MinioClients {
  const url = new URL(options.endpoint);
  const { timeoutMs: silenceMs = 30_000, answerMs = null } = options;
  const agents: http.Agent[] = [];
  const access =
    'credentials' in options
      ? { credentialsProvider: changingCredentials(options.credentials) }
      : { accessKey: options.accessKey, secretKey: options.secretKey };

  function newClient(maxSockets: number, patience: Patience): MinioClient {
    const transportAgent = new (url.protocol === 'https:' ? https : http).Agent({ keepAlive: true, maxSockets });
    agents.push(transportAgent);
    return new MinioClient({
      endPoint: url.hostname,
      useSSL: url.protocol === 'https:',
      ...(url.port === '' ? {} : { port: Number(url.port) }),
      ...access,
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

type CredentialProvider = NonNullable<ConstructorParameters<typeof Client>[0]['credentialsProvider']>;

/** minio-js asks for credentials before each request, and before it signs an address. It uses nothing else of its provider. */
function changingCredentials(ask: () => Promise<S3Credentials>): CredentialProvider {
  async function getCredentials() {
    const { accessKey, secretKey, sessionToken } = await ask();
    return { getAccessKey: () => accessKey, getSecretKey: () => secretKey, getSessionToken: () => sessionToken ?? undefined };
  }
  // The class itself is not exported to ES modules with the types that `Client` wants.
  const provider: unknown = { getCredentials };
  return provider as CredentialProvider;
}
