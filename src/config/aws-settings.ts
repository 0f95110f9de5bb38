import type { AwsSource } from '../storage/aws-credentials.ts';
import { isHttpUrl } from './wire-values.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The first source that the environment names, in the order of the AWS SDKs; null when even the metadata service is switched off. */
export function readAwsSource(env: Environment, s3Region: string, faults: string[]): AwsSource | null {
  const text = (name: string) => env[name]?.trim() || null;
  const url = (name: string) => {
    const given = text(name);
    if (given !== null && !isHttpUrl(given)) faults.push(`${name} must be an http(s) URL`);
    return given !== null && isHttpUrl(given) ? given : null;
  };

  const [accessKey, secretKey] = [text('AWS_ACCESS_KEY_ID'), text('AWS_SECRET_ACCESS_KEY')];
  if (accessKey !== null && secretKey !== null) {
    return { kind: 'keys', accessKey, secretKey, sessionToken: text('AWS_SESSION_TOKEN') };
  }
  if (accessKey !== null || secretKey !== null) {
    faults.push(`AWS_${accessKey === null ? 'ACCESS_KEY_ID' : 'SECRET_ACCESS_KEY'} is missing: it goes together with the other key`);
  }

  const identity = text('AWS_WEB_IDENTITY_TOKEN_FILE');
  if (identity !== null) {
    return {
      kind: 'web identity',
      tokenFile: identity,
      roleArn: text('AWS_ROLE_ARN'),
      sessionName: text('AWS_ROLE_SESSION_NAME') ?? 'nightshift',
      stsEndpoint: url('AWS_ENDPOINT_URL_STS') ?? regionalSts(text('AWS_REGION') ?? text('AWS_DEFAULT_REGION') ?? s3Region),
    };
  }

  const relative = text('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI');
  const full = relative === null ? url('AWS_CONTAINER_CREDENTIALS_FULL_URI') : `http://169.254.170.2${relative}`;
  if (full !== null) {
    const tokenFile = text('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE');
    return { kind: 'container', url: full, token: text('AWS_CONTAINER_AUTHORIZATION_TOKEN'), tokenFile };
  }

  if (text('AWS_EC2_METADATA_DISABLED')?.toLowerCase() === 'true') return null;
  const named = url('AWS_EC2_METADATA_SERVICE_ENDPOINT');
  return { kind: 'instance', endpoint: named ?? 'http://169.254.169.254', isNamed: named !== null };
}

function regionalSts(region: string): string {
  return `https://sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}
