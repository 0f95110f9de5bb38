import { hash as digestOf } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { ENDPOINTS, findParameterError, parseObject } from './upstream/answers.ts';
import { type Behaviour, fateOf, LIFELIKE, PLAIN, readScript } from './upstream/behaviour.ts';
import { createLoadMeter } from './upstream/load.ts';
import { createRateLimit } from './upstream/rate-limit.ts';
import { failure, trickle, write, writeJson } from './upstream/write-answer.ts';

/**
 * An OpenAI-compatible server without a model, for trying Nightshift, for its tests and its bench. It answers the five
 * endpoints of the Batch API, always the same to the same request, and misbehaves as it is told: for all requests
 * (`Behaviour`, flags, `POST /__set`) or for one, by a script in its `user` member (`readScript`). Node's own modules only.
 */
export interface ExampleUpstream {
  /** `http://127.0.0.1:8900`, without `/v1`. */
  readonly url: string;
  /** What came in, by marker of the script (or by Idempotency-Key where `keep` is set), oldest first. */
  readonly calls: ReadonlyMap<string, readonly Received[]>;
  readonly stats: Readonly<Stats>;
  set(changes: Partial<Behaviour>): void;
  /** Forgets calls and statistics. */
  reset(): void;
  /** Ends at once, open connections too. */
  close(): Promise<void>;
}

/** One call as it arrived. */
export interface Received {
  path: string;
  body: Buffer;
  idempotencyKey: string | null;
  authorization: string | null;
}

interface Stats {
  requests: number;
  /** Being served, and the most there ever were. */
  inFlight: number;
  maxInFlight: number;
  queued: number;
  statuses: Record<string, number>;
}

/** Starts the server; port 0, which is the default, takes a free one. What is not given is as in `PLAIN`. */
export async function startExampleUpstream({
  port = 0,
  host = '127.0.0.1',
  ...changes
}: { port?: number; host?: string } & Partial<Behaviour> = {}): Promise<ExampleUpstream> {
  const behaviour: Behaviour = { ...PLAIN, ...changes };
  const calls = new Map<string, Received[]>();
  const counts = new Map<string, number>();
  const stats: Stats = { requests: 0, inFlight: 0, maxInFlight: 0, queued: 0, statuses: {} };
  const queue: (() => void)[] = [];
  const mayCome = createRateLimit();
  const load = createLoadMeter(() => performance.timeOrigin + performance.now());

  function reset(): void {
    calls.clear();
    counts.clear();
    load.reset();
    Object.assign(stats, { requests: 0, maxInFlight: stats.inFlight, statuses: {} });
  }

  function set(given: Partial<Behaviour>): void {
    // From other processes anything may come, and a capacity that is no number would let requests wait for ever.
    const known = new Map<string, unknown>(Object.entries(behaviour));
    const usable = ([name, value]: [string, unknown]) => typeof value === typeof known.get(name) && !Number.isNaN(value);
    Object.assign(behaviour, Object.fromEntries(Object.entries(given).filter(usable)));
    while (queue.length > 0 && hasRoom()) queue.shift()?.();
  }

  function hasRoom(): boolean {
    return behaviour.capacity === 0 || stats.inFlight < behaviour.capacity;
  }

  /** Serves when there is room; as in vLLM, who comes later waits and is never refused. */
  function serve(answer: ServerResponse, delayMs: number, finish: () => void): void {
    load.arrived(delayMs);
    answer.once('close', () => load.ended());
    const start = () => {
      if (answer.destroyed) return;
      stats.inFlight += 1;
      if (stats.inFlight > stats.maxInFlight) stats.maxInFlight = stats.inFlight;
      // Also when the caller hangs up: a place is never lost.
      answer.once('close', () => {
        stats.inFlight -= 1;
        while (queue.length > 0 && hasRoom()) queue.shift()?.();
      });
      if (delayMs > 0) setTimeout(() => guarded(answer, finish), delayMs);
      else guarded(answer, finish);
    };
    if (hasRoom()) start();
    else queue.push(start);
  }

  function post(request: IncomingMessage, answer: ServerResponse, path: string, bytes: Buffer): void {
    stats.requests += 1;
    const make = ENDPOINTS.get(path);
    const body = parseObject(bytes);
    const digest = digestOf('md5', bytes, 'hex');
    const requestId = `req_${digest.slice(0, 16)}${stats.requests.toString(16)}`;
    const headers: OutgoingHttpHeaders = { 'content-type': 'application/json', 'x-request-id': requestId };
    const end = (status: number, content: object) => {
      stats.statuses[status] = (stats.statuses[status] ?? 0) + 1;
      write(answer, status, headers, Buffer.from(JSON.stringify(content)));
    };
    if (make === undefined) return end(404, failure(404, `Invalid URL (POST ${path})`));
    if (body === null) return end(400, failure(400, 'We could not parse the JSON body of your request.'));

    const script = readScript(body['user']);
    const idempotencyKey = header(request, 'idempotency-key');
    const counted = script?.marker ?? (script !== null || behaviour.keep ? idempotencyKey : null);
    const call = counted === null ? stats.requests : (counts.get(counted) ?? 0) + 1;
    if (counted !== null) {
      counts.set(counted, call);
      const received = { path, body: bytes, idempotencyKey, authorization: header(request, 'authorization') };
      const earlier = calls.get(counted);
      if (earlier === undefined) calls.set(counted, [received]);
      else earlier.push(received);
    }
    if (behaviour.rpm > 0 && !mayCome(behaviour.rpm, headers)) return end(429, failure(429, 'Rate limit reached for requests per minute.'));

    const hash = Number.parseInt(digest.slice(0, 8), 16);
    const fate = fateOf(behaviour, script, hash, call);
    const { mode } = fate;
    if (mode === 'hang') return serve(answer, 0, () => {});
    serve(answer, fate.delayMs, () => {
      if (answer.destroyed) return;
      const fault = findParameterError(body);
      if (fault !== null) return end(400, failure(400, fault.message, fault.param));
      if (fate.status === 429 || fate.status === 503) headers['retry-after'] = String(behaviour.retryAfter);
      if (fate.status >= 300 && fate.status < 400) headers['location'] = '/';
      if (fate.status !== 200)
        return end(fate.status, failure(fate.status, `This request was scripted to end with status ${fate.status}.`));
      stats.statuses[200] = (stats.statuses[200] ?? 0) + 1;
      const content = Buffer.from(JSON.stringify(make({ body, hash, digest })));
      switch (mode) {
        case 'ok':
          return write(answer, 200, headers, content);
        case 'gzip':
          return write(answer, 200, { ...headers, 'content-encoding': 'gzip' }, gzipSync(content));
        case 'malformed':
          return write(answer, 200, headers, content.subarray(0, content.length - 1));
        case 'empty':
          return write(answer, 200, headers, Buffer.alloc(0));
        case 'slow':
          return trickle(answer, headers, content);
        case 'cut':
          answer.writeHead(200, { ...headers, 'content-length': content.length });
          answer.write(content.subarray(0, 10), () => answer.socket?.destroy());
          return;
        case 'reset':
          answer.socket?.resetAndDestroy();
      }
    });
  }

  function get(answer: ServerResponse, path: string): void {
    if (path === '/health') return write(answer, 200, {}, Buffer.from('{"status":"ok"}'));
    if (path === '/v1/models') {
      const model = { id: 'example-model', object: 'model', created: 1_750_000_000, owned_by: 'nightshift' };
      return writeJson(answer, 200, { object: 'list', data: [model] });
    }
    if (path === '/__calls') return writeJson(answer, 200, Object.fromEntries(counts));
    if (path === '/__stats') return writeJson(answer, 200, stats);
    if (path === '/__load') return writeJson(answer, 200, load.read());
    if (path === '/__received') {
      const text = [...calls].map(([name, received]) => [name, received.map((one) => ({ ...one, body: one.body.toString() }))]);
      return writeJson(answer, 200, Object.fromEntries(text));
    }
    writeJson(answer, 404, failure(404, `Invalid URL (GET ${path})`));
  }

  function route(request: IncomingMessage, answer: ServerResponse, bytes: Buffer): void {
    const [path = '/'] = (request.url ?? '/').split('?');
    if (request.method === 'GET') return get(answer, path);
    if (request.method !== 'POST') return writeJson(answer, 405, failure(405, 'Method not allowed.'));
    if (path === '/__set') set(parseObject(bytes) ?? {});
    else if (path === '/__reset') reset();
    else return post(request, answer, path, bytes);
    writeJson(answer, 200, behaviour);
  }

  const server = createServer({ keepAliveTimeout: 65_000, noDelay: true }, (request, answer) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const [first] = chunks;
      const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
      guarded(answer, () => route(request, answer, bytes));
    });
  });
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the example upstream has no port');

  return {
    url: `http://${host}:${address.port}`,
    calls,
    stats,
    set,
    reset,
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers 500 when `act` throws, because an error in a listener or a timer would end the process. */
function guarded(answer: ServerResponse, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (answer.headersSent) answer.destroy();
    else writeJson(answer, 500, failure(500, `The example upstream failed: ${String(error)}`));
  }
}

function header(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === 'string' ? value : null;
}

const HELP = `An OpenAI-compatible server without a model: node examples/upstream.ts [flags]

  --port 8900 --host 127.0.0.1
  --latency MS --sigma S   mean time of an answer, and its log-normal spread (default: 300, 0.5, capacity 16;
                           with --latency alone every answer takes as long and the capacity is unlimited)
  --capacity N             requests served at a time, the rest queue    --rpm N     requests per minute, then 429
  --fail400 0.01 --fail429 --fail500 --fail503 --hang --slow --malformed --empty --reset    shares of all requests
  --retryAfter SECONDS     of 429 and 503                               --seed N    other choices

One request: "user": "marker=abc; status=503,503,200; delay=50; mode=hang|slow|malformed|empty|reset|cut|gzip"
Controls:    GET /__calls  /__received  /__stats  /__load    POST /__set {"latency": 5}  /__reset
`;

async function main(): Promise<void> {
  const { keep: _, ...settable } = PLAIN;
  const names = Object.keys(settable);
  const options = Object.fromEntries(
    [...names, 'port', 'host', 'help'].map((name) => [name, { type: name === 'help' ? 'boolean' : 'string' } as const]),
  );
  const { values } = parseArgs({ options });
  if (values['help'] === true) return void process.stdout.write(HELP);
  const changes = Object.fromEntries(names.flatMap((name) => (values[name] === undefined ? [] : [[name, Number(values[name])]])));
  const behaviour: Behaviour = { ...(values['latency'] === undefined ? LIFELIKE : PLAIN), ...changes };
  const upstream = await startExampleUpstream({
    ...behaviour,
    port: Number(values['port'] ?? 8900),
    host: String(values['host'] ?? '127.0.0.1'),
  });
  console.log(`example upstream on ${upstream.url}/v1`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void upstream.close());
}

if (import.meta.main) await main();
