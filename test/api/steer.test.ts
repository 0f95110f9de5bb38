import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toFile } from 'openai';
import OpenAI from 'openai';
import type { Batch } from '../../src/domain/batch.ts';
import { createModelStore } from '../../src/storage/model-store.ts';
import { createWorkerStateStore } from '../../src/storage/worker-state-store.ts';
import { until } from '../helpers/until.ts';
import { anUpstream } from '../helpers/upstream-facts.ts';
import { envelopeOf, received, startWholeTestApi, type TestApi } from './test-api.ts';

let api: TestApi;
let client: OpenAI;
const draining = new AbortController();
before(async () => {
  api = await startWholeTestApi({ draining: draining.signal });
  client = api.client();
});
after(async () => await api[Symbol.asyncDispose]());

const REQUEST = { input_file_id: 'file-x', endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
const RUNNING = { status: 'in_progress', in_progress_at: 1, request_counts: { total: 10, completed: 1, failed: 0 } } as const;

async function change(id: string, members: Partial<Batch>, tenant = 'tenant-a'): Promise<void> {
  await api.batches.update(tenant, id, (record) => ({ ...record, batch: { ...record.batch, ...members } }));
}

async function batchWith(members: Partial<Batch>, metadata: Record<string, string> | null = null): Promise<string> {
  const { id } = await client.batches.create({ ...REQUEST, metadata });
  await change(id, members);
  return id;
}

describe('GET /v1/batches with a filter', () => {
  const idsOf = async (query: string): Promise<string[]> => {
    const answer = await api.fetch(`/v1/batches?${query}`);
    assert.equal(answer.status, 200, query);
    return Object(await answer.json()).data.map(({ id }: Batch) => id);
  };

  it('answers the batches of these statuses, metadata and times, page by page', async () => {
    const night = await batchWith({ status: 'completed' }, { run: 'night', 'a,b': 'x' });
    const failed = await batchWith({ status: 'failed' }, { run: 'night' });
    const open = await batchWith({ status: 'in_progress' });
    assert.deepEqual(await idsOf('status=completed,failed'), [failed, night]);
    assert.deepEqual(await idsOf('status=completed&status=failed'), [failed, night]);
    assert.deepEqual(await idsOf('status=completed,%20failed&status='), [failed, night]);
    assert.deepEqual(await idsOf('status=in_progress'), [open]);
    assert.deepEqual(await idsOf('metadata[run]=night'), [failed, night]);
    assert.deepEqual(await idsOf(`${encodeURIComponent('metadata[a,b]')}=x`), [night]);
    assert.deepEqual(await idsOf('metadata[run]=night&status=failed'), [failed]);
    assert.deepEqual(await idsOf('metadata[constructor]=x'), []);
    const first = Object(await (await api.fetch('/v1/batches?metadata[run]=night&limit=1')).json());
    assert.deepEqual([first.data[0].id, first.has_more], [failed, true]);
    assert.deepEqual(await idsOf(`metadata[run]=night&limit=1&after=${first.last_id}`), [night]);
    const now = Math.floor(Date.now() / 1000);
    assert.deepEqual(await idsOf(`created_after=${now + 60}`), []);
    assert.deepEqual(await idsOf(`created_after=${now - 60}&created_before=${now + 60}&status=failed`), [failed]);
    assert.deepEqual(await idsOf(`created_before=${now - 60}`), []);
  });

  it('answers 400 for a status that there is not and a time that is none', async () => {
    for (const [query, param] of [
      ['status=done', 'status'],
      ['status=completed,Failed', 'status'],
      ['status=completed,', 'status'],
      ['created_after=yesterday', 'created_after'],
      ['created_before=1.5', 'created_before'],
    ] as const) {
      const answer = await api.fetch(`/v1/batches?${query}`);
      assert.equal(answer.status, 400, query);
      assert.equal((await envelopeOf(answer)).param, param);
    }
  });
});

describe('DELETE /v1/batches/{id}', () => {
  const remove = async (id: string, query = '', headers = {}) =>
    await api.fetch(`/v1/batches/${id}${query}`, { method: 'DELETE', headers });

  it('removes the record of a batch that has ended, and leaves its files', async () => {
    const file = await client.files.create({ file: await toFile(Buffer.from('{}\n'), 'out.jsonl'), purpose: 'batch' });
    const older = await batchWith({ status: 'completed' });
    const id = await batchWith({ status: 'completed', output_file_id: file.id });
    const answer = await remove(id);
    assert.deepEqual([answer.status, await answer.json()], [200, { id, object: 'batch', deleted: true }]);
    await assert.rejects(client.batches.retrieve(id), OpenAI.NotFoundError);
    assert.equal((await client.files.retrieve(file.id)).id, file.id);
    assert.equal((await client.batches.list({ after: id })).data[0]?.id, older, 'its id stays a cursor');
    assert.equal((await remove(id)).status, 404);
    assert.equal((await remove(id, '', { 'x-stainless-retry-count': '1' })).status, 200, 'a retry of the SDK');
  });

  it('removes the result files too where that is asked for', async () => {
    const make = async () => (await client.files.create({ file: await toFile(Buffer.from('{}\n'), 'o'), purpose: 'batch' })).id;
    const [output, error] = [await make(), await make()];
    const id = await batchWith({ status: 'cancelled', output_file_id: output, error_file_id: error });
    assert.equal((await remove(id, '?delete_files=true')).status, 200);
    for (const file of [output, error]) await assert.rejects(client.files.retrieve(file), OpenAI.NotFoundError);
  });

  it('refuses a batch that has not ended, one of another tenant, and an unclear wish', async () => {
    const id = await batchWith(RUNNING);
    const answer = await remove(id);
    assert.equal(answer.status, 409);
    assert.match((await envelopeOf(answer)).message, /status 'in_progress'.* Cancel it first/);
    assert.equal((await remove(id, '', { authorization: 'Bearer key-b' })).status, 404);
    await change(id, { status: 'completed' });
    assert.equal((await remove(id, '?delete_files=yes')).status, 400);
    assert.equal((await client.batches.retrieve(id)).status, 'completed');
  });

  it('is not undone by a repeat of the create that made the batch', async () => {
    const create = async () =>
      await api.fetch('/v1/batches', {
        method: 'POST',
        body: JSON.stringify(REQUEST),
        headers: { 'content-type': 'application/json', 'idempotency-key': 'once' },
      });
    const { id } = Object(await (await create()).json());
    await change(id, { status: 'failed' });
    await remove(id);
    const repeat = await create();
    assert.equal(repeat.status, 409);
    assert.equal((await envelopeOf(repeat)).code, 'batch_deleted');
    assert.equal(await api.batches.get('tenant-a', id), null);
  });
});

describe('GET /v1/batches/{id}?wait=SECONDS', () => {
  it('answers at the next change, and at once when the batch has ended', async () => {
    const id = await batchWith(RUNNING);
    const waiting = api.fetch(`/v1/batches/${id}?wait=30`);
    assert.equal(await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]), 'waits');
    await change(id, { request_counts: { total: 10, completed: 2, failed: 0 } });
    assert.equal(Object(await (await waiting).json()).request_counts.completed, 2);
    await change(id, { status: 'completed' });
    assert.equal(Object(await (await api.fetch(`/v1/batches/${id}?wait=30`)).json()).status, 'completed');
  });

  it('answers after that time when nothing changes, and when the process is about to end', async () => {
    const id = await batchWith(RUNNING);
    const begunMs = performance.now();
    assert.equal((await api.fetch(`/v1/batches/${id}?wait=1`)).status, 200);
    assert.ok(performance.now() - begunMs >= 950);
    await using other = await startWholeTestApi({ draining: draining.signal });
    const { id: mine } = await other.client().batches.create(REQUEST);
    const waiting = other.fetch(`/v1/batches/${mine}?wait=60`);
    setTimeout(() => draining.abort(), 100);
    assert.equal((await waiting).status, 200);
  });

  it('refuses what is no whole number up to 60', async () => {
    const id = await batchWith(RUNNING);
    for (const wait of ['61', '-1', 'x', '1.5', '']) {
      const answer = await api.fetch(`/v1/batches/${id}?wait=${wait}`);
      assert.equal(answer.status, 400, wait);
      assert.equal((await envelopeOf(answer)).param, 'wait');
    }
  });
});

describe('GET /v1/batches/{id}/events', () => {
  it('sends the batch at once and at every change, and ends with it', async (t) => {
    const warnings: Error[] = [];
    const note = (warning: Error) => void warnings.push(warning);
    process.on('warning', note);
    t.after(() => process.removeListener('warning', note));
    await using other = await startWholeTestApi();
    const { id } = await other.client().batches.create(REQUEST);
    const put = async (members: Partial<Batch>) =>
      await other.batches.update('tenant-a', id, (record) => ({ ...record, batch: { ...record.batch, ...members } }));
    const answer = await other.fetch(`/v1/batches/${id}/events`);
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'text/event-stream']);
    let text = '';
    const reading = (async () => {
      for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString();
    })();
    const statuses = () => [...text.matchAll(/event: batch\ndata: (.*)\n\n/g)].map(([, data]) => JSON.parse(data ?? '').status);
    await until(() => statuses().length === 1, { what: 'the first event' });
    await put(RUNNING);
    await until(() => statuses().length === 2, { what: 'the change' });
    await put({ status: 'completed' });
    await reading;
    assert.deepEqual(statuses(), ['validating', 'in_progress', 'completed']);
    const again = await (await other.fetch(`/v1/batches/${id}/events`)).text();
    assert.match(again, /^event: batch\ndata: \{.*"status":"completed".*\}\n\n$/);
    assert.deepEqual(warnings, []);
  });

  it('reads a batch once a second for all who follow it, and keeps one state for a client that does not read', async () => {
    let reads = 0;
    await using other = await startWholeTestApi();
    const { get } = other.deps.batches;
    other.deps.batches.get = async (...given) => ((reads += 1), await get(...given));
    const { id } = await other.client().batches.create(REQUEST);
    const head = `GET /v1/batches/${id}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key-a\r\n\r\n`;
    const deaf = await other.send(head);
    deaf.pause();
    const sockets = await Promise.all(Array.from({ length: 30 }, async () => await other.send(head)));
    await Promise.all(sockets.map(async (socket) => await received(socket, /event: batch/)));
    const before = reads;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    assert.ok(reads - before <= 4, `${reads - before} reads in 2.5 s`);
    for (const socket of [deaf, ...sockets]) socket.destroy();
    await until(
      async () => {
        const seen = reads;
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        return reads === seen;
      },
      { what: 'the reading to end with the last client' },
    );
  });
});

describe('GET /v1/models', () => {
  it('lists what workers told of late, for the SDK too', async () => {
    const models = createModelStore({ store: api.store, nowMs: () => api.nowSeconds() * 1000 });
    await models.tell(anUpstream('gpu'), ['Qwen/Qwen3-8B', 'constructor']);
    await models.tell(anUpstream('hosted'), ['Qwen/Qwen3-8B', 'gpt-4o-mini']);
    const listed = (await client.models.list()).data;
    assert.deepEqual(
      listed.map(({ id, owned_by }) => [id, owned_by]),
      [
        ['Qwen/Qwen3-8B', 'gpu'],
        ['constructor', 'gpu'],
        ['gpt-4o-mini', 'hosted'],
      ],
    );
    assert.ok(listed.every(({ created }) => Math.abs(created - api.nowSeconds()) < 10));
    assert.equal((await client.models.retrieve('Qwen/Qwen3-8B')).owned_by, 'gpu');
    await assert.rejects(client.models.retrieve('gpt-5'), OpenAI.NotFoundError);
    await models.tell(anUpstream('gpu'), []);
    assert.deepEqual(
      (await client.models.list()).data.map(({ id }) => id),
      ['Qwen/Qwen3-8B', 'gpt-4o-mini'],
    );
    api.advance(61 * 60_000);
    assert.deepEqual((await client.models.list()).data, []);
  });
});

describe('POST /v1/batches/{id}/pause and /resume', () => {
  const post = async (path: string, key = 'key-a') =>
    await api.fetch(`/v1/batches/${path}`, { method: 'POST', headers: { authorization: `Bearer ${key}` } });
  const batchOf = async (answer: Response): Promise<Batch> => {
    assert.equal(answer.status, 200);
    return Object(await answer.json());
  };

  it('pauses and resumes a batch, tells Temporal once for each change, and may be repeated', async () => {
    const id = await batchWith(RUNNING);
    const paused = await batchOf(await post(`${id}/pause`));
    assert.ok(Math.abs((paused.nightshift?.paused_at ?? 0) - api.nowSeconds()) < 60);
    assert.deepEqual(await batchOf(await post(`${id}/pause`)), paused);
    const { nightshift: shown } = await batchOf(await api.fetch(`/v1/batches/${id}`));
    assert.equal(shown?.paused_at, paused.nightshift?.paused_at);
    assert.deepEqual(
      shown?.waiting?.map(({ reason, message }) => [reason, message.replace(/since .* UTC/, 'since then')]),
      [['paused', 'The batch is paused since then. Resume it to go on.']],
    );
    const resumed = await batchOf(await post(`${id}/resume`));
    assert.deepEqual([resumed.nightshift, resumed.expires_at], [undefined, paused.expires_at]);
    assert.deepEqual(await batchOf(await post(`${id}/resume`)), resumed);
    assert.deepEqual(
      api.runs.told.filter((told) => told === id),
      [id, id],
    );
  });

  it('pauses while Temporal is away, and leaves it to the sweep to tell', async () => {
    const id = await batchWith({});
    api.runs.state = 'away';
    try {
      assert.ok((await batchOf(await post(`${id}/pause`))).nightshift?.paused_at);
    } finally {
      api.runs.state = 'up';
    }
    assert.equal((await api.batches.get('tenant-a', id))?.pause?.isHeard, false);
  });

  it('answers 409 where there is nothing to hold back, and 404 for a batch of another tenant', async () => {
    for (const status of ['finalizing', 'cancelling', 'completed', 'failed', 'expired', 'cancelled'] as const) {
      const id = await batchWith({ status });
      const refused = await post(`${id}/pause`);
      assert.deepEqual([refused.status, (await envelopeOf(refused)).code], [409, 'cannot_pause'], status);
      const resumed = await post(`${id}/resume`);
      assert.equal(resumed.status, status === 'finalizing' || status === 'cancelling' ? 200 : 409, status);
    }
    const late = await batchWith({ ...RUNNING, expires_at: 1 });
    assert.match((await envelopeOf(await post(`${late}/pause`))).message, /its completion window has ended/);
    const id = await batchWith(RUNNING);
    for (const call of ['pause', 'resume']) {
      assert.equal((await post(`${id}/${call}`, 'key-b')).status, 404);
      assert.equal((await post(`batch_x/${call}`)).status, 404);
    }
  });
});

describe('the calls of operators', () => {
  const call = async (path: string, key = 'key-a') =>
    await api.fetch(`/v1/nightshift/${path}`, { method: 'POST', headers: { authorization: `Bearer ${key}` } });
  const pauseOf = async (path: string) => {
    const answer = await call(path);
    assert.equal(answer.status, 200);
    const { object, ...rest } = Object(await answer.json());
    assert.equal(object, 'nightshift.pause');
    return rest;
  };

  it('pause and resume an upstream and everything, may be repeated, and survive in the bucket', async () => {
    await createModelStore({ store: api.store, nowMs: () => api.nowSeconds() * 1000 }).tell(anUpstream('gpu'), []);
    const paused = await pauseOf('upstreams/gpu/pause');
    assert.deepEqual([paused.upstream, paused.paused, await pauseOf('upstreams/gpu/pause')], ['gpu', 'upstream', paused]);
    const all = await pauseOf('pause');
    assert.deepEqual([all.upstream, all.paused], [null, 'everything']);
    assert.deepEqual(await api.deps.pauses.read(), { all: all.paused_at, upstreams: { gpu: paused.paused_at } });
    assert.equal((await pauseOf('upstreams/gpu/resume')).paused, 'everything');
    assert.deepEqual(await pauseOf('resume'), { upstream: null, paused_at: null, paused: null });
    assert.deepEqual(await api.deps.pauses.read(), { all: null, upstreams: {} });
    assert.deepEqual(await pauseOf('resume'), { upstream: null, paused_at: null, paused: null });
  });

  it('show upstreams with their servers, gates, rates, batches and the last hour', async () => {
    const nowMs = api.nowSeconds() * 1000;
    await createModelStore({ store: api.store, nowMs: () => nowMs }).tell(anUpstream('gpu'), ['small']);
    const rates = { answers: 2, refusals: 0.5, faults: 0 };
    const gates = [{ model: 'small', kind: 'refused', serverSays: '429 slow down', sinceMs: 5_000 }] as const;
    const minutes = [{ at: api.nowSeconds() - 60, limit: 8, inFlight: 3.5, answers: 100, refusals: 30, faults: 0 }];
    const servers = [{ server: 'gpu:8000', limit: 8, inFlight: 4, rates, gates: [...gates] }];
    await createWorkerStateStore({ store: api.store }).write('w1', {
      atMs: nowMs,
      hasEnded: false,
      upstreams: [{ name: 'gpu', quietUntil: null, waiting: 7, servers, minutes }],
    });
    const line = { tenant: 'a', model: null, share: 1, admitted: ['x', 'y'], waiting: ['z'], allWaiting: 3 };
    api.runs.queues.set('gpu', [line, { ...line, tenant: 'b', allWaiting: 1 }]);
    await pauseOf('upstreams/gpu/pause');
    const listed = Object(await (await api.fetch('/v1/nightshift/upstreams')).json());
    const gpu = listed.data.find(({ name }: { name: string }) => name === 'gpu');
    const load = { limit: 8, in_flight: 4, answers_per_second: 2, refusals_per_second: 0.5, faults_per_second: 0 };
    assert.deepEqual(gpu, {
      object: 'nightshift.upstream',
      name: 'gpu',
      models: ['small'],
      quiet_until: null,
      workers: 1,
      ...load,
      waiting_requests: 7,
      admitted_batches: 4,
      waiting_batches: 4,
      servers: [
        { server: 'gpu:8000', ...load, gates: [{ model: 'small', reason: 'upstream_refuses', server_says: '429 slow down', since: 5 }] },
      ],
      history: [{ at: minutes[0]?.at, limit: 8, answers: 100, refusals: 30, faults: 0, in_flight: 3.5 }],
      paused: 'upstream',
      paused_at: gpu.paused_at,
    });
    await pauseOf('upstreams/gpu/resume');
    const answer = await api.fetch('/v1/nightshift/upstreams', { headers: { authorization: 'Bearer key-b' } });
    assert.equal(answer.status, 403);
  });

  it('are refused for other tenants, and know no upstream that no worker has told of', async () => {
    for (const path of ['pause', 'resume', 'upstreams/gpu/pause', 'upstreams/none/resume']) {
      const answer = await call(path, 'key-b');
      assert.deepEqual([answer.status, (await envelopeOf(answer)).code], [403, 'operator_required'], path);
    }
    const answer = await call('upstreams/constructor/pause');
    assert.equal(answer.status, 404);
    assert.match((await envelopeOf(answer)).message, /No upstream found with name 'constructor'\. Known are: .*gpu/);
  });
});
