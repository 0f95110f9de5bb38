import { readFile } from 'node:fs/promises';

/** Where AWS credentials come from, as the environment of a process says it. */
export type AwsSource =
  | { kind: 'keys'; accessKey: string; secretKey: string; sessionToken: string | null }
  | { kind: 'web identity'; tokenFile: string; roleArn: string | null; sessionName: string; stsEndpoint: string }
  | { kind: 'container'; url: string; token: string | null; tokenFile: string | null }
  /** `isNamed`: a variable says where the metadata service is. */
  | { kind: 'instance'; endpoint: string; isNamed: boolean };

/** What requests to the bucket are signed with. */
export interface S3Credentials {
  accessKey: string;
  secretKey: string;
  /** Sent with each request where the keys are temporary. */
  sessionToken: string | null;
}

interface Expiring extends S3Credentials {
  /** Unix time. */
  expiresAtMs: number;
}

/** Temporary keys are replaced so long before they expire. */
const REFRESH_AHEAD_MS = 5 * 60_000;
/** After a refresh that failed, keys that are still good are used for so long before the next one. */
const RETRY_MS = 10_000;
/** Longest wait for one answer of the metadata service or of STS. */
const ANSWER_MS = 5_000;
const TRIES = 3;

/**
 * Credentials that are good at this moment. Callers at the same time share one refresh. A refresh that fails is an error only
 * when the keys before have expired.
 */
export function createAwsCredentials(source: AwsSource, { nowMs }: { nowMs: () => number }): () => Promise<S3Credentials> {
  if (source.kind === 'keys') return async () => await Promise.resolve(source);
  const temporary = source;
  let current: Expiring | null = null;
  let refreshing: Promise<Expiring> | null = null;
  let retryAtMs = 0;

  async function refresh(): Promise<Expiring> {
    try {
      return (current = await withTries(async () => await fetchCredentials(temporary)));
    } finally {
      refreshing = null;
    }
  }

  return async () => {
    const known = current;
    const isUsable = known !== null && nowMs() < known.expiresAtMs;
    if (isUsable && (nowMs() < known.expiresAtMs - REFRESH_AHEAD_MS || nowMs() < retryAtMs)) return known;
    refreshing ??= refresh();
    try {
      return await refreshing;
    } catch (error) {
      retryAtMs = nowMs() + RETRY_MS;
      if (isUsable) return known;
      throw error;
    }
  };
}

async function fetchCredentials(source: Exclude<AwsSource, { kind: 'keys' }>): Promise<Expiring> {
  switch (source.kind) {
    case 'web identity':
      return await assumeRole(source);
    case 'container': {
      // A token in a file is replaced from time to time.
      const token = source.tokenFile === null ? source.token : (await readFile(source.tokenFile, 'utf8')).trim();
      return fromJson(await ask(source.url, { headers: token === null ? {} : { authorization: token } }));
    }
    case 'instance': {
      const at = (path: string) => new URL(path, source.endpoint).href;
      const lifetime = { 'x-aws-ec2-metadata-token-ttl-seconds': '21600' };
      const headers = { 'x-aws-ec2-metadata-token': await ask(at('/latest/api/token'), { method: 'PUT', headers: lifetime }) };
      const roles = await ask(at('/latest/meta-data/iam/security-credentials/'), { headers });
      const [role = ''] = roles.trim().split(/\s+/);
      return fromJson(await ask(at(`/latest/meta-data/iam/security-credentials/${encodeURIComponent(role)}`), { headers }));
    }
  }
}

/** Exchanges the token that Kubernetes gives a service account for keys of its role. */
async function assumeRole({
  tokenFile,
  roleArn,
  sessionName,
  stsEndpoint,
}: Extract<AwsSource, { kind: 'web identity' }>): Promise<Expiring> {
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleSessionName: sessionName,
    WebIdentityToken: (await readFile(tokenFile, 'utf8')).trim(),
    ...(roleArn === null ? {} : { RoleArn: roleArn }),
  });
  const xml = await ask(stsEndpoint, { method: 'POST', body: form });
  const text = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1]?.trim();
  return checked(stsEndpoint, text('AccessKeyId'), text('SecretAccessKey'), text('SessionToken'), text('Expiration'));
}

function fromJson(text: string): Expiring {
  const said: Record<string, unknown> = Object(JSON.parse(text));
  const field = (name: string) => (typeof said[name] === 'string' ? said[name] : undefined);
  return checked('the metadata service', field('AccessKeyId'), field('SecretAccessKey'), field('Token'), field('Expiration'));
}

function checked(from: string, accessKey?: string, secretKey?: string, sessionToken?: string, expiration?: string): Expiring {
  const expiresAtMs = Date.parse(expiration ?? '');
  if (accessKey === undefined || secretKey === undefined || sessionToken === undefined || Number.isNaN(expiresAtMs)) {
    throw new Error(`${from} answered without an access key, a secret key, a session token and their expiration`);
  }
  return { accessKey, secretKey, sessionToken, expiresAtMs };
}

async function ask(url: string, init: RequestInit): Promise<string> {
  const answer = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(ANSWER_MS) });
  const text = await answer.text();
  if (answer.ok) return text;
  const [, reason = 'no reason given'] = /<Message>([^<]*)<\/Message>/.exec(text) ?? [];
  throw new Error(`${new URL(url).origin} answered ${answer.status} when asked for AWS credentials (${reason.slice(0, 200)})`);
}

async function withTries<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (attempt === TRIES) throw error;
    }
  }
}
