import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { chatLine, ended, submit } from '../helpers/lines.ts';
import { startStack } from '../helpers/stack.ts';

const REFUSED_MS = 30 * 60_000;
/** How often model `b` gets a batch meanwhile. */
const EVERY_MS = 3 * 60_000;
const LATENCY_MS = 200;
const LINES_OF_A = 3_000;
const LINES_OF_B = 400;
/** The longest that a batch of `b` may take beside `a`, as a multiple of what it takes alone. */
const MOST = 1.25;

describe('one model that is refused for half an hour', () => {
  it('does not slow another model of the same server, and loses no line', { timeout: 3_600_000 }, async (t) => {
    let isRefusing = false;
    let refused = 0;
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.method !== 'POST') return void response.writeHead(404).end();
        const { model } = JSON.parse(Buffer.concat(chunks).toString());
        if (model === 'a' && isRefusing) {
          refused += 1;
          response.writeHead(429, { 'content-type': 'application/json' });
          return void response.end('{"error":{"message":"Model a is overloaded","type":"rate_limit_error"}}');
        }
        setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}'), LATENCY_MS);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    try {
      await using stack = await startStack({
        env: {
          NIGHTSHIFT_UPSTREAM_URL: `http://127.0.0.1:${address.port}/v1`,
          NIGHTSHIFT_UPSTREAM_CHECK_MODELS: 'false',
          NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '16',
        },
      });
      const client = stack.client();
      const submitted = async (model: string, lines: number, round: number) => {
        const input = Array.from({ length: lines }, (_, at) => chatLine(`${model}-${round}-${at + 1}`).replace('example-model', model));
        return (await submit(client, input.join('\n'))).id;
      };
      const secondsOfB = async (round: number): Promise<number> => {
        const startMs = performance.now();
        const batch = await ended(client, await submitted('b', LINES_OF_B, round), 600);
        assert.deepEqual(batch.request_counts, { total: LINES_OF_B, completed: LINES_OF_B, failed: 0 });
        return (performance.now() - startMs) / 1000;
      };
      await secondsOfB(0);
      const alone = await secondsOfB(1);
      isRefusing = true;
      const begunMs = performance.now();
      const idOfA = await submitted('a', LINES_OF_A, 0);
      const beside: number[] = [];
      while (performance.now() - begunMs < REFUSED_MS) {
        const nextMs = performance.now() + EVERY_MS;
        beside.push(await secondsOfB(beside.length + 2));
        await delay(Math.max(0, nextMs - performance.now()));
      }
      isRefusing = false;
      t.diagnostic(
        `b alone ${alone.toFixed(1)} s, beside a ${beside.map((s) => s.toFixed(1)).join(', ')} s; ${refused} calls of a refused`,
      );
      const batch = await ended(client, idOfA, 1_200);
      assert.deepEqual(batch.request_counts, { total: LINES_OF_A, completed: LINES_OF_A, failed: 0 });
      assert.ok(Math.max(...beside) <= MOST * alone, `${Math.max(...beside)} s beside a, ${alone} s alone`);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
