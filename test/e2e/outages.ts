import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type OpenAI from 'openai';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type Authority, createAuthority } from '../upstream/certificates.ts';

/** How a server fails for everybody. */
export interface Outage {
  name: string;
  /** Class of the gate that closes. */
  class: 'failed' | 'denied' | 'away' | 'refused';
  /** What the reason holds. */
  words: RegExp;
  status?: number;
  type?: string;
  body?: string;
}

export const OUTAGES: readonly Outage[] = [
  {
    name: 'bad-gateway',
    class: 'failed',
    words: /status 502: .*Bad Gateway/,
    status: 502,
    type: 'text/html',
    body: '<html>502 Bad Gateway</html>',
  },
  {
    name: 'key',
    class: 'denied',
    words: /status 401: .*Incorrect API key/,
    status: 401,
    body: '{"error":{"message":"Incorrect API key"}}',
  },
  {
    name: 'ingress',
    class: 'denied',
    words: /status 404: .*default backend/,
    status: 404,
    type: 'text/plain',
    body: 'default backend - 404',
  },
  { name: 'broken', class: 'failed', words: /status 500: .*CUDA error/, status: 500, body: '{"error":{"message":"CUDA error"}}' },
  { name: 'certificate', class: 'away', words: /SELF_SIGNED/ },
];

/** What a batch went through. */
export interface Passed {
  outage: Outage;
  batch: OpenAI.Batch;
  callsDuring: number;
  /** Of the gate, in the log of the worker. */
  reason: string;
  heartbeat: string;
  gate: string;
}

interface FailingServer extends AsyncDisposable {
  readonly url: string;
  calls: number;
  isOut: boolean;
  begin(): void;
  end(): void;
}

/** Answers after 50 ms, until its outage begins. */
async function startFailingServer(outage: Outage, authority: Authority): Promise<FailingServer> {
  const [good, bad] = [authority.issue(), authority.selfSigned()];
  const isTls = outage.name === 'certificate';
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    request.resume().on('end', () => void answer(request, response));
  };
  const server = isTls ? createHttpsServer({ cert: good.certificate, key: good.key }, listener) : createServer(listener);
  const found: FailingServer = {
    url: '',
    calls: 0,
    isOut: false,
    begin() {
      found.isOut = true;
      if (isTls) useCertificate(bad);
    },
    end() {
      found.isOut = false;
      if (isTls) useCertificate(good);
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };

  function useCertificate({ certificate, key }: { certificate: string; key: string }): void {
    if ('setSecureContext' in server) (server as HttpsServer).setSecureContext({ cert: certificate, key });
    server.closeAllConnections();
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // The worker also asks for the models.
    if (request.method !== 'POST') return void response.writeHead(404).end();
    found.calls += 1;
    // A connection from before the outage must not answer either.
    if (found.isOut && isTls) return void request.socket.destroy();
    if (found.isOut) {
      response.writeHead(outage.status ?? 500, { 'content-type': outage.type ?? 'application/json' });
      return void response.end(outage.body ?? '');
    }
    await delay(50);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"chat.completion","choices":[]}');
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return Object.assign(found, { url: `${isTls ? 'https' : 'http'}://127.0.0.1:${address.port}/v1` });
}

/** Runs a batch of so many lines for each outage, all at a time, and lets the servers fail in the middle for so many seconds. */
export async function passOutages({ lines, seconds }: { lines: number; seconds: number }): Promise<Passed[]> {
  using authority = createAuthority();
  const folder = await mkdtemp(join(tmpdir(), 'nightshift-outages-'));
  const servers = await Promise.all(OUTAGES.map(async (outage) => ({ outage, server: await startFailingServer(outage, authority) })));
  const port = await freePort();
  const upstreams = servers.map(({ outage, server }) => ({
    name: outage.name,
    base_urls: [server.url],
    models: [outage.name],
    check_models: false,
    ...(outage.name === 'certificate' ? { ca_file: authority.ca.certificateFile } : {}),
  }));
  await writeFile(join(folder, 'upstreams.json'), JSON.stringify(upstreams));
  try {
    await using stack = await startStack({
      env: {
        NIGHTSHIFT_UPSTREAM_URL: '',
        NIGHTSHIFT_UPSTREAMS_FILE: join(folder, 'upstreams.json'),
        NIGHTSHIFT_WORKER_HTTP_PORT: String(port),
        NIGHTSHIFT_LINES_PER_ACTIVITY: '50',
      },
    });
    const connection = await Connection.connect({ address: stack.temporal.address });
    const temporal = new Client({ connection });
    const passed = await Promise.all(
      servers.map(async ({ outage, server }) => await passOutage(stack, temporal, { outage, server, lines, seconds, port })),
    );
    await connection.close();
    return passed;
  } finally {
    await Promise.all(servers.map(async ({ server }) => await server[Symbol.asyncDispose]()));
    await rm(folder, { recursive: true });
  }
}

async function passOutage(
  stack: Stack,
  temporal: Client,
  { outage, server, lines, seconds, port }: { outage: Outage; server: FailingServer; lines: number; seconds: number; port: number },
): Promise<Passed> {
  const client = stack.client();
  const input = Array.from({ length: lines }, (_, at) => chatLine(`${outage.name}-${at + 1}`).replace('example-model', outage.name));
  const { id } = await submit(client, input.join('\n'));
  await until(() => server.calls > lines / 4, { what: `a quarter of the calls of ${outage.name}`, everyMs: 5, seconds: 60 });
  server.begin();
  const callsBefore = server.calls;
  const startMs = performance.now();
  const logged = new RegExp(`"level":"warn".*"upstream":"${outage.name}".*"class":"${outage.class}","reason":"(?<reason>[^\\n]*?)","msg"`);
  const reason = await until(() => logged.exec(stack.worker.log())?.groups?.['reason'] ?? null, { what: `the reason of ${outage.name}` });
  const gate = await until(async () => await closedGate(port, outage), { what: `the gate of ${outage.name} in the metrics` });
  const heartbeat = await until(async () => await heartbeatOf(temporal, id, outage), {
    what: `a heartbeat of ${outage.name}`,
    everyMs: 500,
    seconds: 60,
  });
  await delay(Math.max(0, seconds * 1000 - (performance.now() - startMs)));
  const callsDuring = server.calls - callsBefore;
  server.end();
  return { outage, batch: await ended(client, id, 240), callsDuring, reason, heartbeat, gate };
}

async function closedGate(port: number, { name, class: reason }: Outage): Promise<string | null> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const sample = `nightshift_upstream_gate_closed{upstream="${name}",reason="${reason}"} 1`;
  return text.includes(sample) ? sample : null;
}

/** What a slice of the batch waits for, as Temporal's UI shows it. */
async function heartbeatOf(temporal: Client, batchId: string, { words }: Outage): Promise<string | null> {
  for (let shard = 0; shard < 5; shard++) {
    const handle = temporal.workflow.getHandle(`${batchId}/shard-${String(shard).padStart(4, '0')}`);
    const description = await handle.describe().catch(() => null);
    for (const { heartbeatDetails } of description?.raw.pendingActivities ?? []) {
      const data = heartbeatDetails?.payloads?.[0]?.data;
      if (!data) continue;
      const { waiting } = JSON.parse(Buffer.from(data).toString());
      if (typeof waiting === 'string' && / since \d{4}-/.test(waiting) && words.test(waiting)) return waiting;
    }
  }
  return null;
}

/** What every outage must leave behind. */
export function assertPassed({ outage, batch, callsDuring, reason, heartbeat }: Passed, lines: number): void {
  assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: lines, completed: lines, failed: 0 }], outage.name);
  assert.ok(callsDuring < 200, `${callsDuring} calls of ${outage.name} during the outage`);
  assert.match(reason, outage.words);
  assert.match(heartbeat, outage.words);
}
