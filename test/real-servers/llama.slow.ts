import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ended, resultLines, submit } from '../helpers/lines.ts';
import { pythonWith } from '../helpers/python.ts';
import { freePort } from '../helpers/servers.ts';
import { startStack } from '../helpers/stack.ts';
import { startServer } from './server-process.ts';

const TIMEOUT_SECONDS = 10;
/** What an answer is to take when nothing else is in flight: with all slots taken and the queue of a careful client, well within the timeout. */
const ANSWER_MS = 1_000;
/** With 0 the backlog is that of llama.cpp. */
const CASES = [
  { slots: 1, workers: 1, backlog: 0 },
  { slots: 1, workers: 2, backlog: 0 },
  { slots: 4, workers: 1, backlog: 0 },
  { slots: 4, workers: 2, backlog: 0 },
  { slots: 4, workers: 2, backlog: 5 },
];
const REQUIREMENTS = fileURLToPath(new URL('requirements-llama.txt', import.meta.url));
const python = await pythonWith(REQUIREMENTS).catch((error: unknown) => {
  return error instanceof AggregateError
    ? new Error(`${error.message}: ${error.errors.join('; ').slice(0, 300)}`)
    : new Error(String(error));
});

// Real servers answer at the pace of the machine, so these tests say what comes of it and bound no times.
describe('a batch on a llama.cpp server', () => {
  const skip = python instanceof Error ? `llama.cpp cannot be fetched: ${python.message}` : false;
  for (const { slots, workers, backlog } of CASES) {
    const name = `completes without a failed line (slots: ${slots}, workers: ${workers}, listen backlog: ${backlog || 512})`;
    it(name, { skip, timeout: 1_800_000 }, async (t) => {
      assert.ok(typeof python === 'string');
      await using server = await startServer(python, 'llama_server.py', [await freePort(), slots, backlog]);
      const tokens = await calibrate(server.origin);
      const before = await measureAnswer(server.origin, tokens);
      await runBatch(t, {
        origin: server.origin,
        workers,
        endpoint: '/v1/chat/completions',
        bodies: Array.from({ length: 60 }, (_, index) => chatBody(`Tell me about the number ${index}.`, tokens)),
      });
      const after = await measureAnswer(server.origin, tokens);
      t.diagnostic(`one answer of ${tokens} tokens takes ${before} ms by itself before, and ${after} ms after`);
    });
  }
});

describe('a batch on a server that answers one request at a time, with a listen backlog of 5', () => {
  for (const workers of [1, 2]) {
    it(`completes without a failed line (workers: ${workers})`, { timeout: 900_000 }, async (t) => {
      await using server = await startServer('python3', 'one_at_a_time.py', [await freePort(), 20]);
      await runBatch(t, {
        origin: server.origin,
        workers,
        endpoint: '/v1/embeddings',
        bodies: Array.from({ length: 300 }, (_, index) => ({ model: 'small', input: `number ${index}` })),
      });
    });
  }
});

/** `ignore_eos` makes all answers equally long. */
function chatBody(content: string, tokens: number): Record<string, unknown> {
  return { model: 'gemma', messages: [{ role: 'user', content }], max_tokens: tokens, ignore_eos: true };
}

/** How many tokens take about ANSWER_MS on this machine now. */
async function calibrate(origin: string): Promise<number> {
  await measureAnswer(origin, 1);
  const msPerToken = (await measureAnswer(origin, 16)) / 16;
  return Math.min(256, Math.max(1, Math.round(ANSWER_MS / msPerToken)));
}

/** How long an answer of so many tokens takes, in milliseconds. */
async function measureAnswer(origin: string, tokens: number): Promise<number> {
  const since = performance.now();
  const answer = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(chatBody('How long does an answer take?', tokens)),
  });
  assert.equal(answer.status, 200, await answer.text());
  return Math.round(performance.now() - since);
}

interface Run {
  origin: string;
  workers: number;
  endpoint: '/v1/chat/completions' | '/v1/embeddings';
  bodies: readonly Record<string, unknown>[];
}

/** Runs a batch of these bodies on workers that know nothing of the server yet, and checks that each line was answered. */
async function runBatch(t: TestContext, { origin, workers, endpoint, bodies }: Run): Promise<void> {
  const ports = await Promise.all(Array.from({ length: workers }, async () => await freePort()));
  const [first = 0, ...others] = ports;
  await using stack = await startStack({
    env: {
      NIGHTSHIFT_UPSTREAM_URL: `${origin}/v1`,
      NIGHTSHIFT_UPSTREAM_REQUEST_TIMEOUT_SECONDS: String(TIMEOUT_SECONDS),
      NIGHTSHIFT_WORKER_HTTP_PORT: String(first),
    },
  });
  for (const port of others) await stack.startWorker(undefined, { NIGHTSHIFT_WORKER_HTTP_PORT: String(port) });
  const client = stack.client();
  const ids = bodies.map((_, index) => `line-${index + 1}`);
  const lines = bodies.map((body, index) => JSON.stringify({ custom_id: ids[index], method: 'POST', url: endpoint, body }));

  const since = performance.now();
  const { id } = await submit(client, lines.join('\n'), { endpoint });
  const batch = await ended(client, id, 1_500);
  const seconds = (performance.now() - since) / 1000;
  const results = await Promise.all(ports.map(readAttempts));
  t.diagnostic(`${bodies.length} lines in ${seconds.toFixed(1)} s; tries by worker: ${JSON.stringify(results)}`);

  assert.deepEqual(await resultLines(client, batch.error_file_id), []);
  assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: bodies.length, completed: bodies.length, failed: 0 }]);
  const answered = (await resultLines(client, batch.output_file_id)).map((line) => [line.custom_id, line.response?.status_code]);
  assert.deepEqual(
    answered,
    ids.map((each) => [each, 200]),
  );
}

/** A worker's tries by what they ended in, of those that there were. */
async function readAttempts(port: number): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const samples = text.matchAll(/^nightshift_upstream_attempts_total\{.*result="(\w+)".*\} (\d+)$/gm);
  return Object.fromEntries(
    [...samples].map(([, result = '', count]) => [result, Number(count)] as const).filter(([, count]) => count > 0),
  );
}
