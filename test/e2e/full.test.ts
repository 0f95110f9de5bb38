import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type Fault, type FaultProxy, startFaultProxy } from '../storage/fault-proxy.ts';

const IN_FLIGHT = 8;

/** More than a batch may have out at a time: what is out is sent even when nothing can be stored. */
const LINES = 240;

describe('what is full or slow', () => {
  let stack: Stack;
  let client: OpenAI;
  let proxy: FaultProxy;
  before(async () => {
    stack = await startStack({
      env: {
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: String(IN_FLIGHT),
        NIGHTSHIFT_MAX_IN_FLIGHT_PER_BATCH: '16',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '4',
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '5',
      },
      upstream: ['--latency', '250'],
      bucketAt: async (endpoint) => (proxy = await startFaultProxy(endpoint)).endpoint,
    });
    client = stack.client();
  });
  afterEach(() => {
    proxy.fault = () => null;
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  async function sent(ids: readonly string[]): Promise<number[]> {
    const calls = await stack.upstream.calls();
    return ids.map((id) => calls[id] ?? 0);
  }

  /** Begins a batch, harms the bucket, and waits until nothing is sent any more. */
  async function rest(name: string, fault: FaultProxy['fault']): Promise<{ ids: string[]; batchId: string; sentOnce: number }> {
    const ids = Array.from({ length: LINES }, (_, index) => `${name}-${index + 1}`);
    const { id } = await submit(client, ids.map((each) => chatLine(each, `marker=${each}`)).join('\n'));
    await until(async () => ((await client.batches.retrieve(id)).request_counts?.completed ?? 0) >= 20, { what: '20 answers' });
    proxy.fault = fault;
    let before = -1;
    const sentOnce = await until(
      async () => {
        const now = (await sent(ids)).filter((times) => times > 0).length;
        const isResting = now === before;
        before = now;
        return isResting ? now : null;
      },
      { what: 'nothing to be sent any more', everyMs: 1_000 },
    );
    assert.ok(sentOnce < ids.length, 'there is something left to send');
    return { ids, batchId: id, sentOnce };
  }

  async function assertGoesOn({ ids, batchId }: { ids: string[]; batchId: string }): Promise<void> {
    proxy.fault = () => null;
    const batch = await ended(client, batchId, 120);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: LINES, completed: LINES, failed: 0 }]);
    assert.deepEqual(
      (await resultLines(client, batch.output_file_id)).map((line) => line.custom_id),
      ids,
    );
    assert.deepEqual([...new Set(await sent(ids))], [1], 'no answer that was waiting for the bucket is asked for again');
  }

  const writes = (fault: Fault) => (method: string) => (method === 'PUT' || method === 'POST' ? fault : null);
  const post = async (path: string, body: FormData | string) =>
    await fetch(stack.baseURL + path, { method: 'POST', body, headers: { authorization: 'Bearer key-a' } });

  function upload(bytes: number): FormData {
    const form = new FormData();
    form.set('purpose', 'user_data');
    form.set('file', new Blob([Buffer.alloc(bytes, 'x')]), 'a.txt');
    return form;
  }

  it('a full bucket refuses uploads and batches with a word of its own, is read as ever, and a batch rests until there is room', async () => {
    const resting = await rest('full', writes('full'));
    const [file] = (await client.files.list({ limit: 1 })).data;
    const create = JSON.stringify({ input_file_id: file?.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    for (const answer of [
      await post('/files', upload(10)),
      await post('/files', upload(20 * 1024 * 1024)),
      await post('/batches', create),
    ]) {
      const { error } = Object(await answer.json());
      assert.deepEqual([answer.status, error.code, error.type], [503, 'storage_full', 'server_error']);
      assert.match(error.message, /is full/);
      assert.equal(answer.headers.get('retry-after'), '60');
    }
    assert.equal((await client.batches.retrieve(resting.batchId)).status, 'in_progress');
    assert.equal((await client.batches.list()).data[0]?.id, resting.batchId);
    await assertGoesOn(resting);
    assert.equal((await post('/files', upload(10))).status, 200);
  });

  it('a busy bucket is waited for', async () => {
    const resting = await rest('busy', () => '503');
    const create = JSON.stringify({ input_file_id: `file-${'0'.repeat(24)}`, endpoint: '/v1/chat/completions', completion_window: '24h' });
    for (const ask of [
      async () => await post('/files', upload(10)),
      async () => await post('/batches', create),
      async () => await fetch(`${stack.baseURL}/batches/${resting.batchId}`, { headers: { authorization: 'Bearer key-a' } }),
    ]) {
      const startedMs = performance.now();
      const answer = await ask();
      assert.deepEqual([answer.status, Object(await answer.json()).error.code], [503, 'service_unavailable']);
      assert.equal(answer.headers.get('retry-after'), '5');
      assert.ok(performance.now() - startedMs < 15_000, 'a bucket that asks for patience is asked again, but not for long');
    }
    await assertGoesOn(resting);
  });

  it('an answer that never ends is a request_timeout, and its neighbours do not wait for it', async () => {
    // Here only: whoever is held up for that long elsewhere would have its answers asked for again.
    await stack.worker.stop();
    await stack.startWorker(undefined, { NIGHTSHIFT_UPSTREAM_REQUEST_TIMEOUT_SECONDS: '2' });
    const created = await submit(client, [chatLine('endless', 'marker=endless;mode=slow'), chatLine('good')].join('\n'));
    const counts = await until(
      async () => {
        const { request_counts } = await client.batches.retrieve(created.id);
        return request_counts?.completed === 1 ? request_counts : null;
      },
      { what: 'the good line', everyMs: 100 },
    );
    assert.equal(counts.failed, 0, 'the endless one is still being tried');
    const batch = await ended(client, created.id, 120);
    assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 1 });
    const [line] = await resultLines(client, batch.error_file_id);
    assert.deepEqual([line?.custom_id, line?.error?.code, line?.response], ['endless', 'request_timeout', null]);
    // Each timeout doubles the time of the next try, and the third ends the request.
    assert.deepEqual(await sent(['endless']), [3]);
  });
});
