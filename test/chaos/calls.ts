import { hash } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { listen } from './link.ts';

/** One call as it went upstream. */
export interface Call {
  /** Idempotency-Key: `<batch>-<line>`. */
  key: string;
  worker: string;
  requestHash: string;
  sentAtMs: number;
  endedAtMs: number | null;
  /** `answered` is an outcome that reached the worker's side; `fault` an answer that is tried again; `broken` none at all. */
  end: 'open' | 'answered' | 'fault' | 'broken';
  /** Of the answer. */
  status: number | null;
  answerHash: string | null;
}

/** The way from one worker to the upstream: notes every call, and can be harmed like any link. */
export interface CallLink extends AsyncDisposable {
  readonly port: number;
  cut(): void;
  stall(): void;
  heal(): Promise<void>;
}

/** A request that no worker survives: one whose body holds this, and what is done then instead of sending it on. */
export interface Poison {
  text: string;
  kill: (worker: string) => void;
}

/** Notes into `calls` what this worker sends. */
export async function startCallLink(worker: string, target: number, calls: Call[], poison: Poison | null): Promise<CallLink> {
  const agent = new http.Agent({ keepAlive: true });
  let isStalled = false;
  let stalled: (() => void)[] = [];

  function forward(incoming: IncomingMessage, outgoing: ServerResponse, body: Buffer): void {
    const call: Call = {
      key: String(incoming.headers['idempotency-key']),
      worker,
      requestHash: md5(body),
      sentAtMs: performance.now(),
      endedAtMs: null,
      end: 'open',
      status: null,
      answerHash: null,
    };
    // Workers also ask for the models.
    if (incoming.method === 'POST') calls.push(call);
    const finish = (end: Call['end']) => {
      if (call.end !== 'open') return;
      call.end = end;
      call.endedAtMs = performance.now();
    };
    outgoing.on('close', () => finish('broken'));
    if (poison !== null && body.includes(poison.text)) return poison.kill(worker);
    const { method, url, headers } = incoming;
    const sent = http.request({ host: '127.0.0.1', port: target, method, path: url, headers, agent }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', () => outgoing.destroy());
      answer.on('end', () => {
        if (outgoing.destroyed) return;
        const bytes = Buffer.concat(chunks);
        const status = answer.statusCode ?? 0;
        call.status = status;
        call.answerHash = md5(bytes);
        finish(status === 408 || status === 429 || status >= 500 ? 'fault' : 'answered');
        outgoing.writeHead(status, answer.headers);
        outgoing.end(bytes);
      });
    });
    sent.on('error', () => outgoing.destroy());
    sent.end(body);
  }

  const server = http.createServer({ keepAliveTimeout: 60_000 }, (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const go = () => {
        if (!outgoing.destroyed) forward(incoming, outgoing, Buffer.concat(chunks));
      };
      if (isStalled) stalled.push(go);
      else go();
    });
  });
  const port = await listen(server, 0);

  return {
    port,
    cut() {
      server.close();
      server.closeAllConnections();
    },
    stall() {
      isStalled = true;
    },
    async heal() {
      isStalled = false;
      for (const go of stalled) go();
      stalled = [];
      if (!server.listening) await listen(server, port);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      if (server.listening) server.close();
      agent.destroy();
    },
  };
}

/** A short name for bytes. */
export function md5(bytes: Buffer | string): string {
  return hash('md5', bytes, 'hex');
}
