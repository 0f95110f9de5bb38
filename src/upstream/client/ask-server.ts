import { parseBaseUrl } from './base-url.ts';
import { createHttpPool } from './http-exchange.ts';
import type { Way } from './open-connection.ts';

/** What a server answered, or why it did not, in a sentence with a code. */
export type ServerAnswer = { status: number; text: string } | { fault: string };

/** What a question to a server needs to come through. */
export interface AskSecrets {
  apiKey: string | null;
  headers: Readonly<Record<string, string>>;
  ways?: Readonly<Record<string, Way>>;
}

const MAX_BYTES = 16 * 1024 * 1024;

/** GETs a path of the server, as its requests are sent, on a connection of its own. Never throws, and waits no longer than `patienceMs`. */
export async function askServer(baseUrl: string, path: string, secrets: AskSecrets | undefined, patienceMs: number): Promise<ServerAnswer> {
  const { origin, userinfo } = parseBaseUrl(baseUrl);
  const headers: Record<string, string> = { accept: '*/*', 'user-agent': 'nightshift' };
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
    maxResponseBytes: MAX_BYTES,
  });
  try {
    const exchange = await pool.exchange({ method: 'GET', path, headers, body: null }, AbortSignal.timeout(patienceMs));
    if (exchange.kind === 'answered') return { status: exchange.status, text: exchange.body.toString() };
    return { fault: exchange.kind === 'aborted' ? `nothing came within ${patienceMs / 1000} s` : exchange.message };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  } finally {
    await pool.close();
  }
}
