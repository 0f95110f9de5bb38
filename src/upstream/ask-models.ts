import { parseBaseUrl } from './base-url.ts';
import { createHttpPool } from './http-exchange.ts';
import type { Way } from './open-connection.ts';

/** What a server answered when it was asked for its models, or why it did not, in a sentence with a code. */
export type ModelsAnswer = { status: number; text: string } | { fault: string };

const MAX_LIST_BYTES = 16 * 1024 * 1024;

/** Asks a server for its models, as its requests are sent. Never throws, and waits no longer than `patienceMs`. */
export async function askModels(
  baseUrl: string,
  secrets: { apiKey: string | null; headers: Readonly<Record<string, string>>; ways?: Readonly<Record<string, Way>> } | undefined,
  patienceMs: number,
): Promise<ModelsAnswer> {
  const { origin, path, userinfo } = parseBaseUrl(baseUrl);
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'nightshift' };
  if (userinfo !== null) headers['authorization'] = `Basic ${Buffer.from(userinfo).toString('base64')}`;
  if (secrets?.apiKey != null) headers['authorization'] = `Bearer ${secrets.apiKey}`;
  for (const [name, value] of Object.entries(secrets?.headers ?? {})) headers[name.toLowerCase()] = value;
  headers['accept-encoding'] = 'identity';
  const pool = createHttpPool({
    origin,
    way: secrets?.ways?.[baseUrl],
    connections: 1,
    requestTimeoutMs: patienceMs,
    totalTimeoutMs: patienceMs,
    maxResponseBytes: MAX_LIST_BYTES,
  });
  try {
    const request = { method: 'GET', path: path('/v1/models'), headers, body: null } as const;
    const exchange = await pool.exchange(request, AbortSignal.timeout(patienceMs));
    if (exchange.kind === 'answered') return { status: exchange.status, text: exchange.body.toString() };
    return { fault: exchange.kind === 'aborted' ? `nothing came within ${patienceMs / 1000} s` : exchange.message };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  } finally {
    await pool.close();
  }
}
