import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, chatLines, ended, resultLines, submit } from '../helpers/lines.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

describe('when a process dies', () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    stack = await startStack({
      ownMinio: true,
      // With the heartbeat timeout and the sweep that ship.
      env: {
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '32',
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '4',
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '5',
        NIGHTSHIFT_HEARTBEAT_TIMEOUT_SECONDS: '',
        NIGHTSHIFT_SWEEP_MIN_AGE_SECONDS: '',
        NIGHTSHIFT_OPERATOR_TENANTS: 'tenant-b',
      },
      upstream: ['--latency', '900'],
    });
    client = stack.client();
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('drains on SIGTERM: nothing that is answered within the grace is sent twice', async () => {
    const ids = Array.from({ length: 200 }, (_, index) => `drain-${index + 1}`);
    const created = await submit(client, ids.map((id) => chatLine(id, `marker=${id}`)).join('\n'));
    await until(async () => ((await client.batches.retrieve(created.id)).request_counts?.completed ?? 0) >= 20, { what: '20 answers' });
    assert.equal(await stack.worker.stop('SIGTERM'), 0);
    await stack.startWorker();
    const batch = await ended(client, created.id, 120);
    assert.deepEqual(batch.request_counts, { total: 200, completed: 200, failed: 0 });
    const calls = await stack.upstream.calls();
    assert.deepEqual(
      ids.filter((id) => calls[id] !== 1),
      [],
    );
  });

  it('completes a batch with a process for each role, each of which serves its own task queues only', async () => {
    await stack.worker.stop('SIGTERM');
    const port = await freePort();
    const roles = ['workflows', 'control', 'requests'];
    const processes = await Promise.all(
      roles.map(async (role) => {
        const http: Record<string, string> = role === 'requests' ? { NIGHTSHIFT_WORKER_HTTP_PORT: String(port) } : {};
        return await stack.startWorker(undefined, { NIGHTSHIFT_WORKER_ROLES: role, ...http });
      }),
    );
    const created = await submit(client, chatLines(20, 'roles-'));
    assert.deepEqual((await ended(client, created.id, 120)).request_counts, { total: 20, completed: 20, failed: 0 });
    assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 200);
    const queues = /task_queue="([^"]+)"/g;
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.deepEqual([...new Set([...metrics.matchAll(queues)].map(([, queue]) => queue))], ['requests-default']);

    await Promise.all(processes.map(async (each) => await each.stop('SIGTERM')));
    await stack.startWorker();
  });

  it('holds a paused batch back when its worker dies, and sends each line once in all', async () => {
    const ids = Array.from({ length: 200 }, (_, index) => `paused-${index + 1}`);
    const callsOfIds = async () => {
      const calls = await stack.upstream.calls();
      return ids.map((id) => calls[id] ?? 0);
    };
    const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
    const created = await submit(client, ids.map((id) => chatLine(id, `marker=${id}`)).join('\n'));
    await until(async () => sum(await callsOfIds()) >= 20, { what: '20 calls' });
    const paused: Record<string, unknown> = await client.post(`/batches/${created.id}/pause`);
    assert.equal(typeof Object(paused['nightshift']).paused_at, 'number');
    // A slice hears of it by its next heartbeat, and what it has sent by then is answered.
    let calls = -1;
    await until(
      async () => {
        const before = calls;
        calls = sum(await callsOfIds());
        return calls === before;
      },
      { what: 'no more calls', everyMs: 3_000 },
    );
    assert.ok(calls < 200, `${calls} calls`);
    await stack.worker.stop('SIGKILL');
    await stack.startWorker();
    await until(async () => (await client.batches.retrieve(created.id)).request_counts?.completed === calls, {
      what: 'their answers to count',
    });
    assert.equal(sum(await callsOfIds()), calls);
    await client.post(`/batches/${created.id}/resume`);
    assert.deepEqual((await ended(client, created.id, 120)).request_counts, { total: 200, completed: 200, failed: 0 });
    assert.deepEqual(new Set(await callsOfIds()), new Set([1]));
  });

  it('holds all batches back while an operator has paused their upstream, also in a worker that starts, and shows it', async () => {
    const operator = stack.client('key-b');
    const upstream = async () => Object(await operator.get('/nightshift/upstreams')).data[0];
    await operator.post('/nightshift/upstreams/default/pause');
    await stack.worker.stop('SIGKILL');
    await stack.startWorker();
    const created = await submit(client, chatLine('held', 'marker=held'));
    await until(async () => (await upstream()).waiting_requests === 1, { what: 'the request to wait in a worker' });
    const { paused, servers, workers } = await upstream();
    assert.deepEqual([paused, servers.length, workers >= 1, (await stack.upstream.calls())['held']], ['upstream', 1, true, undefined]);
    await assert.rejects(client.post('/nightshift/upstreams/default/resume'), { status: 403, code: 'operator_required' });
    await operator.post('/nightshift/upstreams/default/resume');
    assert.equal((await ended(client, created.id, 120)).status, 'completed');
  });

  it('answers create, cancel and read while Temporal is away, and catches up', async () => {
    stack.temporal.process.kill('SIGSTOP');
    let created: OpenAI.Batch;
    let other: OpenAI.Batch;
    try {
      created = await submit(client, chatLines(3, 'away-'));
      other = await submit(client, chatLines(3, 'gone-'));
      assert.equal(created.status, 'validating');
      assert.equal((await client.batches.retrieve(created.id)).status, 'validating');
      assert.equal((await client.batches.cancel(other.id)).status, 'cancelling');
      const ready = await fetch(`${stack.origin}/ready`);
      assert.deepEqual([ready.status, Object(await ready.json()).temporal], [200, false]);
    } finally {
      stack.temporal.process.kill('SIGCONT');
    }
    assert.equal((await ended(client, other.id, 120)).status, 'cancelled');
    assert.equal((await ended(client, created.id, 120)).status, 'completed');
  });

  it('answers 503 in the envelope while the bucket is away', async () => {
    stack.minio.process.kill('SIGSTOP');
    try {
      const answer = await fetch(`${stack.baseURL}/batches`, { headers: { authorization: 'Bearer key-a' } });
      assert.equal(answer.status, 503);
      assert.equal(answer.headers.get('retry-after'), '5');
      assert.equal(typeof Object(await answer.json()).error.message, 'string');
      assert.equal((await fetch(`${stack.origin}/health`)).status, 200);
    } finally {
      stack.minio.process.kill('SIGCONT');
    }
    await until(async () => (await fetch(`${stack.origin}/ready`)).ok, { what: 'the bucket to be back' });
  });

  it('goes on after every process of ours was killed at once', async () => {
    const created = await submit(client, chatLines(240, 'all-'));
    await until(async () => ((await client.batches.retrieve(created.id)).request_counts?.completed ?? 0) >= 20, { what: '20 answers' });
    await Promise.all([stack.worker.stop('SIGKILL'), stack.api.stop('SIGKILL')]);
    await Promise.all([stack.startApi(), stack.startWorker()]);
    const batch = await ended(client, created.id, 120);
    assert.deepEqual(batch.request_counts, { total: 240, completed: 240, failed: 0 });
    assert.equal((await resultLines(client, batch.output_file_id)).length, 240);
  });
});
