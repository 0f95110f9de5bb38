import { keyOf } from './house.ts';

type Body = string | FormData;

/** An answer of the API; `null` instead of one means that none came, which chaos explains. */
export interface Reply {
  status: number;
  bytes: Buffer;
}

/** A client that lives through anything and tells what no client should have seen. */
export interface Client {
  ask(tenant: string, method: string, path: string, body?: Body | null, headers?: Record<string, string>): Promise<Reply | null>;
  /** Begins a request and hangs up after so many milliseconds, whatever has come by then. */
  hangUp(tenant: string, method: string, path: string, afterMs: number, body?: Body): Promise<void>;
  /** Answers that are neither right nor an honest 503. */
  readonly complaints: readonly string[];
}

const PATIENCE_MS = 20_000;

export function createClient(origin: string): Client {
  const complaints: string[] = [];

  async function ask(
    tenant: string,
    method: string,
    path: string,
    body: Body | null = null,
    headers: Record<string, string> = {},
  ): Promise<Reply | null> {
    try {
      const answer = await fetch(origin + path, {
        method,
        body,
        headers: {
          authorization: `Bearer ${keyOf(tenant)}`,
          ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
          ...headers,
        },
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const bytes = Buffer.from(await answer.arrayBuffer());
      if (answer.status >= 500 && answer.status !== 503)
        complaints.push(`${method} ${path} was answered ${answer.status}: ${bytes.toString().slice(0, 200)}`);
      return { status: answer.status, bytes };
    } catch {
      return null;
    }
  }

  async function hangUp(tenant: string, method: string, path: string, afterMs: number, body?: Body): Promise<void> {
    await fetch(origin + path, {
      method,
      headers: { authorization: `Bearer ${keyOf(tenant)}` },
      signal: AbortSignal.timeout(afterMs),
      ...(body === undefined ? {} : { body }),
    })
      .then(async (answer) => await answer.arrayBuffer())
      .catch(() => undefined);
  }

  return { ask, hangUp, complaints };
}

/** The JSON of an answer with this status; null for any other answer, or none. */
export function jsonOf<T>(reply: Reply | null, status = 200): T | null {
  return reply === null || reply.status !== status ? null : JSON.parse(reply.bytes.toString());
}
