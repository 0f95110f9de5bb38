import { parseBaseUrl } from './base-url.ts';
import { createHttpPool } from './http-exchange.ts';
import type { Way } from './open-connection.ts';
import { type ServerCredentials, serverHeaders } from './server-headers.ts';

/** What a server answered, or why it did not, in a sentence with a code. */
export type ServerAnswer = { status: number; text: string } | { fault: string };

/** What a question to a server needs to come through. */
export interface AskSecrets extends ServerCredentials {
  ways?: Readonly<Record<string, Way>>;
}

const MAX_BYTES = 16 * 1024 * 1024;

/** GETs a path of the server, as its requests are sent, on a connection of its own. Never throws, and waits no longer than `patienceMs`. */
export async function askServer(baseUrl: string, path: string, secrets: AskSecrets | undefined, patienceMs: number): Promise<ServerAnswer> {
  const { origin, userinfo } = parseBaseUrl(baseUrl);
  // Metrics are text, which some servers refuse to send where only JSON is accepted.
  const headers = { ...serverHeaders(secrets ?? { apiKey: null, headers: {} }, userinfo), accept: '*/*' };
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
