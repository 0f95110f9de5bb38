import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** What one call is answered with; what is absent is an ordinary 200. */
export interface Scripted {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  delayMs?: number;
  /** Never answers. */
  hangs?: boolean;
}

/** A call as the upstream saw it. */
export interface UpstreamCall {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** An upstream whose answers a test decides byte by byte, by the `user` of the request. */
export interface ScriptedUpstream extends AsyncDisposable {
  /** Without `/v1`. */
  readonly url: string;
  readonly calls: readonly UpstreamCall[];
  /** Answers requests of this user; `call` counts its calls from 1. */
  on(user: string, answer: (call: number) => Scripted): void;
  callsOf(user: string): UpstreamCall[];
}

/** Starts one; port 0 takes a free one. Who has no script gets a short chat completion with 3 + 4 tokens. */
export async function startScriptedUpstream(port = 0): Promise<ScriptedUpstream> {
  const calls: UpstreamCall[] = [];
  const scripts = new Map<string, (call: number) => Scripted>();
  const counts = new Map<string, number>();
  const server = createServer((request, answer) => {
    // It has no list of models, for which a worker may ask.
    if (request.method === 'GET') return void answer.writeHead(404).end();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => void reply());
    const reply = async () => {
      const body = Buffer.concat(chunks).toString();
      calls.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers, body });
      const user = userOf(body);
      const call = (counts.get(user) ?? 0) + 1;
      counts.set(user, call);
      const { status = 200, headers = {}, body: content = chatAnswer(user), delayMs = 0, hangs = false } = scripts.get(user)?.(call) ?? {};
      if (hangs) return;
      if (delayMs > 0) await delay(delayMs, undefined, { ref: false });
      if (answer.destroyed) return;
      answer.writeHead(status, { 'content-type': 'application/json', ...headers });
      answer.end(content);
    };
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the upstream has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    on: (user, answer) => void scripts.set(user, answer),
    callsOf: (user) => calls.filter((call) => userOf(call.body) === user),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A chat completion as a server without imagination would write it. */
export function chatAnswer(content: string, usage: object | null = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }): string {
  const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
  return JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    model: 'example-model',
    choices,
    ...(usage === null ? {} : { usage }),
  });
}

function userOf(body: string): string {
  const parsed: unknown = JSON.parse(body);
  return String(Object(parsed)['user'] ?? '');
}
