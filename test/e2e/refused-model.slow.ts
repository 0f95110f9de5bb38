import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { listen } from '../helpers/listen.ts';
import { startStack } from '../helpers/stack.ts';

const REFUSED_MS = 30 * 60_000;
/** How often model `b` and its like get a batch meanwhile. */
const EVERY_MS = 3 * 60_000;
const LATENCY_MS = 200;
const LINES_OF_A = 3_000;
const LINES_OF_B = 400;
/** What batches of `b` may take beside `a`, as a multiple of what the same batches take on a server without `a`. */
const MOST = 1.25;

interface ModelServer extends AsyncDisposable {
  readonly url: string;
  isRefusing: boolean;
  refused: number;
}

/** Serves every model, but refuses `a` while it is told to. */
async function startModelServer(): Promise<ModelServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method !== 'POST') return void response.writeHead(404).end();
      const { model } = JSON.parse(Buffer.concat(chunks).toString());
      if (model === 'a' && found.isRefusing) {
        found.refused += 1;
        response.writeHead(429, { 'content-type': 'application/json' });
        return void response.end('{"error":{"message":"Model a is overloaded","type":"rate_limit_error"}}');
      }
      setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}'), LATENCY_MS);
    });
  });
  const listening = await listen(server);
  const found: ModelServer = {
    ...listening,
    url: `${listening.origin}/v1`,
    isRefusing: false,
    refused: 0,
  };
  return found;
}

describe('one model that is refused for half an hour', () => {
  it('does not slow another model of the same server, and loses no line', { timeout: 3_600_000 }, async (t) => {
    await using cleanup = new AsyncDisposableStack();
    const [server, other] = [cleanup.use(await startModelServer()), cleanup.use(await startModelServer())];
    const folder = await mkdtemp(join(tmpdir(), 'nightshift-refused-'));
    cleanup.defer(async () => await rm(folder, { recursive: true }));
    const common = { check_models: false, max_in_flight: 16 };
    const upstreams = [
      { name: 'both', base_urls: [server.url], models: ['a', 'b'], ...common },
      { name: 'alone', base_urls: [other.url], models: ['c'], ...common },
    ];
    await writeFile(join(folder, 'upstreams.json'), JSON.stringify(upstreams));
    const stack = cleanup.use(
      await startStack({ env: { NIGHTSHIFT_UPSTREAM_URL: '', NIGHTSHIFT_UPSTREAMS_FILE: join(folder, 'upstreams.json') } }),
    );
    const client = stack.client();
    const submitted = async (model: string, lines: number, round: number) => {
      const input = Array.from({ length: lines }, (_, at) => chatLine(`${model}-${round}-${at + 1}`).replace('example-model', model));
      return (await submit(client, input.join('\n'))).id;
    };
    const secondsOf = async (model: string, round: number): Promise<number> => {
      const startMs = performance.now();
      const batch = await ended(client, await submitted(model, LINES_OF_B, round), 600);
      assert.deepEqual(batch.request_counts, { total: LINES_OF_B, completed: LINES_OF_B, failed: 0 });
      return (performance.now() - startMs) / 1000;
    };
    // Both servers are known by then.
    await Promise.all([secondsOf('b', 0), secondsOf('c', 0)]);
    server.isRefusing = true;
    const begunMs = performance.now();
    const idOfA = await submitted('a', LINES_OF_A, 0);
    let [beside, alone] = [0, 0];
    for (let round = 1; performance.now() - begunMs < REFUSED_MS; round++) {
      const nextMs = performance.now() + EVERY_MS;
      const [b, c] = await Promise.all([secondsOf('b', round), secondsOf('c', round)]);
      t.diagnostic(`beside a ${b.toFixed(1)} s, on a server of its own ${c.toFixed(1)} s`);
      beside += b;
      alone += c;
      await delay(Math.max(0, nextMs - performance.now()));
    }
    server.isRefusing = false;
    t.diagnostic(`${server.refused} calls of a refused; b took ${(beside / alone).toFixed(2)} of the time of its like`);
    const batch = await ended(client, idOfA, 1_200);
    assert.deepEqual(batch.request_counts, { total: LINES_OF_A, completed: LINES_OF_A, failed: 0 });
    assert.ok(beside <= MOST * alone, `${beside} s beside a, ${alone} s without`);
  });
});
