import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { AssumeRoleProvider } from 'minio/dist/esm/AssumeRoleProvider.mjs';
import type { S3Credentials } from '../../src/storage/aws-credentials.ts';
import type { TestMinio } from '../helpers/servers.ts';

/** What hands out credentials of AWS: the metadata service of EC2 (IMDSv2), that of containers, and STS. The keys are temporary ones of a real MinIO. */
export interface FakeAws extends AsyncDisposable {
  readonly endpoint: string;
  /** Paths asked for, with their methods. */
  readonly calls: string[];
  /** What the next answers are, unless they are keys. */
  fails: { status: number; body: string } | null;
  /** Unix milliseconds that keys are said to expire at. */
  expiresAtMs: number;
}

export const TOKENS = { instance: 'imds-token', container: 'container-token', identity: 'identity-token' } as const;
const ROLE = 'nightshift-role';

/** Temporary keys of a MinIO that may do what `policy` says; without one, everything. */
export async function temporaryKeys(minio: TestMinio, policy?: object): Promise<S3Credentials> {
  const { endpoint: stsEndpoint, accessKey, secretKey } = minio;
  const rights = policy === undefined ? {} : { policy: JSON.stringify(policy) };
  const keys = await new AssumeRoleProvider({ stsEndpoint, accessKey, secretKey, durationSeconds: 900, ...rights }).getCredentials();
  return { accessKey: keys.getAccessKey(), secretKey: keys.getSecretKey(), sessionToken: keys.getSessionToken() ?? null };
}

export async function startFakeAws(minio: TestMinio): Promise<FakeAws> {
  const server = createServer((request, response) => {
    void answer(request).then(({ status, body }) => response.writeHead(status).end(body));
  });

  async function answer(request: IncomingMessage): Promise<{ status: number; body: string }> {
    const call = `${request.method} ${request.url}`;
    fake.calls.push(call);
    const body = await text(request);
    if (fake.fails !== null) return fake.fails;
    const { accessKey, secretKey, sessionToken } = await temporaryKeys(minio);
    const expiration = new Date(fake.expiresAtMs).toISOString();
    const json = JSON.stringify({
      Code: 'Success',
      AccessKeyId: accessKey,
      SecretAccessKey: secretKey,
      Token: sessionToken,
      Expiration: expiration,
    });
    const hasInstanceToken = request.headers['x-aws-ec2-metadata-token'] === TOKENS.instance;
    switch (call) {
      case 'PUT /latest/api/token':
        return request.headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined
          ? refusal(400)
          : { status: 200, body: TOKENS.instance };
      case 'GET /latest/meta-data/iam/security-credentials/':
        return hasInstanceToken ? { status: 200, body: `${ROLE}\n` } : refusal(401);
      case `GET /latest/meta-data/iam/security-credentials/${ROLE}`:
        return hasInstanceToken ? { status: 200, body: json } : refusal(401);
      case 'GET /container':
        return request.headers.authorization === TOKENS.container ? { status: 200, body: json } : refusal(403);
      case 'POST /sts/': {
        const form = new URLSearchParams(body);
        const isGood = form.get('Action') === 'AssumeRoleWithWebIdentity' && form.get('WebIdentityToken') === TOKENS.identity;
        if (!isGood || form.get('RoleArn') !== 'arn:aws:iam::1:role/n' || form.get('RoleSessionName') === null) return refusal(403);
        const fields = { AccessKeyId: accessKey, SecretAccessKey: secretKey, SessionToken: sessionToken, Expiration: expiration };
        const xml = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`);
        return {
          status: 200,
          body: `<AssumeRoleWithWebIdentityResponse><Credentials>${xml.join('\n')}</Credentials></AssumeRoleWithWebIdentityResponse>`,
        };
      }
      default:
        return refusal(404);
    }
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const fake: FakeAws = {
    endpoint: `http://127.0.0.1:${address.port}`,
    calls: [],
    fails: null,
    expiresAtMs: Date.now() + 3_600_000,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return fake;
}

function refusal(status: number): { status: number; body: string } {
  return { status, body: '<ErrorResponse><Error><Message>not for you</Message></Error></ErrorResponse>' };
}
