import { readTlsFiles } from './pem-files.ts';
import { PROXY_SHAPE, proxyOfEnvironment, readProxy } from './proxy-settings.ts';
import type { Way } from '../upstream/client/open-connection.ts';

/** What an upstreams file says of connections to an upstream. */
export interface GivenWay {
  proxy?: string | undefined;
  ca_file?: string | undefined;
  cert_file?: string | undefined;
  key_file?: string | undefined;
}

/**
 * How connections to each base URL of an upstream are made: through the proxy that is given, or the one of the environment, or none.
 * Adds a fault that begins with `start` for each value that does not do, without a password.
 */
export function readWays(
  baseUrls: readonly string[],
  { given, start }: { given: GivenWay; start: string },
  env: NodeJS.ProcessEnv,
  faults: string[],
): Record<string, Way> {
  const names = { ca: `${start}ca_file`, certificate: `${start}cert_file`, key: `${start}key_file` };
  const tls = readTlsFiles({ ca: given.ca_file, certificate: given.cert_file, key: given.key_file }, names, faults);
  const own = given.proxy === undefined || given.proxy === 'none' ? null : readProxy(given.proxy);
  if (given.proxy !== undefined && given.proxy !== 'none' && own === null) faults.push(`${start}proxy ${PROXY_SHAPE}, or none`);
  const proxyOf = (baseUrl: string) => (given.proxy === undefined ? proxyOfEnvironment(baseUrl, env, faults) : own);
  return Object.fromEntries(baseUrls.map((baseUrl) => [baseUrl, { proxy: proxyOf(baseUrl), tls }]));
}
