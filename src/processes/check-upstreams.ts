import type { Config } from '../config/config.ts';
import { checkServer } from '../upstream/client/check-server.ts';
import { withoutCredentials } from '../config/wire-values.ts';

/**
 * Connects to each server of each upstream once, and warns of what is a mistake in settings: TLS and proxies. A server that is away
 * may come back, so it is told at info. Never rejects, and is not worth waiting for.
 */
export async function checkUpstreams(
  { upstreams, secrets }: Pick<Config, 'upstreams' | 'secrets'>,
  logger: Record<'info' | 'warn', (fields: object, message: string) => void>,
): Promise<void> {
  await Promise.all(
    upstreams.flatMap(({ name, baseUrls }) =>
      baseUrls.map(async (baseUrl) => {
        const fault = await checkServer(baseUrl, secrets.upstreams[name]?.ways[baseUrl]);
        if (fault === null) return;
        const { cause, message } = fault;
        const level = cause.class === 'tls' || cause.class === 'proxy' ? 'warn' : 'info';
        logger[level](
          { upstream: name, server: withoutCredentials(baseUrl), code: cause.code },
          `a server cannot be connected to: ${message}`,
        );
      }),
    ),
  );
}
