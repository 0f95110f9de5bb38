import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const LINES = 400;
const IN_FLIGHT = 8;
/** Longer than the worker waits for one answer of the bucket. */
const HANG_MS = 33_000;
/** The API gives the bucket 8 s. An API that waits twice is over both, whatever else the machine does. */
const [MEDIAN_WITHIN_MS, ALL_WITHIN_MS] = [10_000, 15_000];
/** What a worker may grow by while nothing can be stored; all answers together are larger. */
const GROWTH_BYTES = 48 * 1024 * 1024;

describe('a bucket that takes connections and says nothing', () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    stack = await startStack({
      ownMinio: true,
      env: {
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(IN_FLIGHT),
        NIGHTSHIFT_MAX_IN_FLIGHT_PER_BATCH: '16',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '4',
      },
      upstream: ['--latency', '120'],
    });
    client = stack.client();
  });
  after(async () => await stack[Symbol.asyncDispose]());

  const ids = Array.from({ length: LINES }, (_, index) => `hang-${index + 1}`);

  async function sent(): Promise<number[]> {
    const calls = await stack.upstream.calls();
    return ids.map((id) => calls[id] ?? 0);
  }

  async function memoryBytes(): Promise<number> {
    const status = await readFile(`/proc/${stack.worker.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  /** The answer is the envelope with 503; answers how long it took. */
  async function assertAway(path: string, body?: FormData | string): Promise<number> {
    const startedMs = performance.now();
    const answer = await fetch(stack.baseURL + path, {
      headers: { authorization: 'Bearer key-a' },
      ...(body === undefined ? {} : { method: 'POST', body }),
    });
    const { error } = Object(await answer.json());
    assert.deepEqual([path, answer.status, error.code, answer.headers.get('retry-after')], [path, 503, 'service_unavailable', '5']);
    return performance.now() - startedMs;
  }

  it('is said to be away while it is, rests the batch, and gets every answer once it is back', { timeout: 300_000 }, async () => {
    const embeddings = ids.map((id) => {
      const body = { model: 'example-model', input: ['a', 'b', 'c', id], dimensions: 4096, user: `marker=${id}` };
      return JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/embeddings', body });
    });
    const created = await submit(client, embeddings.join('\n'), { endpoint: '/v1/embeddings' });
    const { id, input_file_id } = created;
    await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) >= 20, { what: '20 answers' });

    stack.minio.process.kill('SIGSTOP');
    const stoppedMs = performance.now();
    try {
      const form = new FormData();
      form.set('purpose', 'batch');
      form.set('file', new Blob([chatLine('new')]), 'new.jsonl');
      const times = await Promise.all([
        assertAway('/batches'),
        assertAway('/batches', JSON.stringify({ input_file_id, endpoint: '/v1/embeddings', completion_window: '24h' })),
        assertAway('/files', form),
        assertAway(`/batches/${id}/cancel`, ''),
        assertAway(`/files/${input_file_id}/content`),
        // More than there are connections.
        ...Array.from({ length: 200 }, async () => await assertAway(`/batches/${id}`)),
      ]);
      times.sort((a, b) => a - b);
      const [median = 0, slowest = 0] = [times[Math.floor(times.length / 2)], times.at(-1)];
      assert.ok(median < MEDIAN_WITHIN_MS && slowest < ALL_WITHIN_MS, `median ${Math.round(median)} ms, slowest ${Math.round(slowest)} ms`);
      const resting = (await sent()).filter((times) => times > 0).length;
      assert.ok(resting < LINES, 'there is something left to send');
      const restingBytes = await memoryBytes();
      await until(() => performance.now() - stoppedMs > HANG_MS, { what: 'the bucket to have hung for long', seconds: 60, everyMs: 500 });
      assert.equal((await sent()).filter((times) => times > 0).length, resting, 'nothing new is sent while nothing can be stored');
      assert.ok((await memoryBytes()) - restingBytes < GROWTH_BYTES);
      assert.equal((await fetch(`${stack.origin}/health`)).status, 200);
    } finally {
      stack.minio.process.kill('SIGCONT');
    }
    const batch = await ended(client, id);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: LINES, completed: LINES, failed: 0 }]);
    assert.deepEqual(
      (await resultLines(client, batch.output_file_id)).map((line) => line.custom_id),
      ids,
    );
    assert.deepEqual([...new Set(await sent())], [1], 'no answer that waited for the bucket is asked for again');
  });
});
