import assert from 'node:assert/strict';
import { medianMs } from '../helpers/median.ts';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import type { Batch } from '../../src/domain/batch.ts';
import { addOutcome, emptyTally } from '../../src/domain/shard-tally.ts';
import { until } from '../helpers/until.ts';
import { envelopeOf, startWholeTestApi, type TestApi } from './test-api.ts';

let api: TestApi;
let client: OpenAI;
before(async () => {
  api = await startWholeTestApi();
  client = api.client();
});
after(async () => await api[Symbol.asyncDispose]());

const REQUEST = { input_file_id: 'file-x', endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
const create = async (as = client) => await as.batches.create(REQUEST);
/** A batch whose record was changed behind the API's back, as a worker does it. */
async function batchWith(change: Partial<Batch>): Promise<string> {
  const { id } = await create();
  await api.batches.update('tenant-a', id, (record) => ({ ...record, batch: { ...record.batch, ...change } }));
  return id;
}

describe('GET /v1/batches', () => {
  it('answers the whole envelope when there is nothing', async () => {
    const answer = await api.fetch('/v1/batches', { headers: { authorization: 'Bearer key-b' } });
    assert.deepEqual(await answer.json(), { object: 'list', data: [], first_id: null, last_id: null, has_more: false });
  });

  it('pages newest first through batches of one moment, without gaps or repeats', async () => {
    await using other = await startWholeTestApi();
    const made = new Set((await Promise.all(Array.from({ length: 45 }, async () => await create(other.client())))).map(({ id }) => id));
    const first = Object(await (await other.fetch('/v1/batches?limit=20&order=ignored')).json());
    assert.deepEqual([first.data.length, first.has_more, first.first_id, first.last_id], [20, true, first.data[0].id, first.data[19].id]);
    const rest = Object(await (await other.fetch(`/v1/batches?limit=25&after=${first.last_id}`)).json());
    assert.deepEqual([rest.data.length, rest.has_more], [25, false]);
    for (const query of [{}, { limit: 7 }, { limit: 100 }]) {
      const seen = [];
      for await (const batch of other.client().batches.list(query)) seen.push(batch.id);
      assert.equal(seen.length, 45);
      assert.deepEqual(new Set(seen), made);
    }
    const newest = await create(other.client());
    assert.equal((await other.client().batches.list()).data[0]?.id, newest.id);
    assert.equal((await other.client().batches.list()).data.length, 20);
  });

  it('answers 400 and names what is wrong', async () => {
    for (const [query, param, code] of [
      ['limit=0', 'limit', 'integer_below_min_value'],
      ['limit=101', 'limit', 'integer_above_max_value'],
      ['limit=abc', 'limit', 'invalid_type'],
      ['after=nope', 'after', null],
      [`after=batch_${'0'.repeat(32)}`, 'after', null],
    ] as const) {
      const answer = await api.fetch(`/v1/batches?${query}`);
      assert.equal(answer.status, 400, query);
      assert.partialDeepStrictEqual(await envelopeOf(answer), { param, code, type: 'invalid_request_error' });
    }
  });
});

describe('GET /v1/batches/{id}', () => {
  const running = { status: 'in_progress', in_progress_at: 1, request_counts: { total: 10, completed: 1, failed: 0 } } as const;
  const counts = async (id: string, as = api) => (await as.client().batches.retrieve(id)).request_counts;
  /** Reads until so many are completed: fresher counts are not waited for where they take longer than a moment. */
  const completed = async (id: string, count: number, as = api) =>
    await until(
      async () => {
        const found = await counts(id, as);
        return found?.completed === count ? found : null;
      },
      { what: `${count} to be completed` },
    );

  it('answers 404 for an unknown batch and that of another tenant', async () => {
    const { id } = await create();
    await assert.rejects(api.client('key-b').batches.retrieve(id), OpenAI.NotFoundError);
    const answer = await api.fetch(`/v1/batches/batch_${'0'.repeat(32)}`);
    assert.equal(answer.status, 404);
    assert.match((await envelopeOf(answer)).message, /No batch found/);
  });

  it('shows what the workflow knows, and writes it to the record', async () => {
    const id = await batchWith(running);
    api.runs.progressOf.set(id, { completed: 4, failed: 2 });
    assert.deepEqual(await completed(id, 4), { total: 10, completed: 4, failed: 2 });
    assert.deepEqual((await api.batches.get('tenant-a', id))?.batch.request_counts, { total: 10, completed: 4, failed: 2 });
  });

  it('adds what workers tell of shards that are not closed, and asks the workflow once for it', async () => {
    const id = await batchWith({ ...running, request_counts: { total: 3000, completed: 0, failed: 0 } });
    const tally = emptyTally();
    for (const place of [0, 1, 999]) addOutcome(tally, place, 'completed');
    addOutcome(tally, 500, 'failed');
    await api.batches.tallies.add(id, new Map([0, 1, 2].map((shard) => [shard, tally])), []);
    // The first shard has been closed meanwhile, so its lines are in the sum.
    api.runs.progressOf.set(id, { completed: 990, failed: 10, unclosed: [[1, 2]] });
    assert.deepEqual(await completed(id, 996), { total: 3000, completed: 996, failed: 12 });
    assert.deepEqual((await api.batches.get('tenant-a', id))?.batch.request_counts.completed, 996);
    assert.equal(api.runs.asked.filter((asked) => asked === id).length, 1);
  });

  it('asks again after two seconds, once for all readers', async () => {
    // A clock that stands still in between.
    let passedMs = 0;
    await using other = await startWholeTestApi({ monotonicMs: () => passedMs });
    const { id } = await create(other.client());
    await other.batches.update('tenant-a', id, (record) => ({ ...record, batch: { ...record.batch, ...running } }));
    other.runs.progressOf.set(id, { completed: 4, failed: 0 });
    await Promise.all(Array.from({ length: 10 }, async () => await counts(id, other)));
    await completed(id, 4, other);
    other.runs.progressOf.set(id, { completed: 5, failed: 0 });
    assert.equal((await counts(id, other))?.completed, 4);
    assert.deepEqual(other.runs.asked, [id]);
    passedMs = 2001;
    await completed(id, 5, other);
    assert.deepEqual(other.runs.asked, [id, id]);
  });

  it('waits longer for fresher counts where the last ones are old, so that who reads seldom sees those of now', async () => {
    let passedMs = 0;
    await using other = await startWholeTestApi({ monotonicMs: () => passedMs });
    const { id } = await create(other.client());
    await other.batches.update('tenant-a', id, (record) => ({ ...record, batch: { ...record.batch, ...running } }));
    other.runs.progressOf.set(id, { completed: 4, failed: 0 });
    await completed(id, 4, other);
    other.runs.progressOf.set(id, { completed: 5, failed: 0 });
    other.runs.takesMs = 1_000;
    passedMs = 2001;
    assert.equal((await counts(id, other))?.completed, 4);
    await completed(id, 5, other);
    other.runs.progressOf.set(id, { completed: 6, failed: 0 });
    other.runs.takesMs = 300;
    passedMs += 10_000;
    assert.equal((await counts(id, other))?.completed, 6);
  });

  it('asks again after two seconds also when the wall clock was set back by an hour', async () => {
    let [setByMs, passedMs] = [0, 0];
    await using other = await startWholeTestApi({ nowMs: () => Date.now() + setByMs, monotonicMs: () => passedMs });
    const { id } = await create(other.client());
    await other.batches.update('tenant-a', id, (record) => ({ ...record, batch: { ...record.batch, ...running } }));
    other.runs.progressOf.set(id, { completed: 4, failed: 0 });
    await completed(id, 4, other);
    other.runs.progressOf.set(id, { completed: 5, failed: 0 });
    [setByMs, passedMs] = [-3_600_000, 2001];
    await completed(id, 5, other);
  });

  it('never steps back and never passes the total', async () => {
    const id = await batchWith(running);
    api.runs.progressOf.set(id, { completed: 7, failed: 9 });
    assert.deepEqual(await completed(id, 7), { total: 10, completed: 7, failed: 3 });
    const other = await batchWith({ ...running, request_counts: { total: 10, completed: 5, failed: 1 } });
    api.runs.progressOf.set(other, { completed: 2, failed: 0 });
    assert.deepEqual(await counts(other), { total: 10, completed: 5, failed: 1 });
  });

  it('shows the record soon when Temporal is silent or away', async () => {
    const id = await batchWith(running);
    for (const state of ['silent', 'away'] as const) {
      api.runs.state = state;
      const ms = await medianMs(5, async () => assert.equal((await counts(id))?.completed, 1));
      assert.ok(ms < 1000, `${Math.round(ms)} ms while Temporal is ${state}`);
    }
    api.runs.state = 'up';
  });

  it('asks nobody about a batch that has ended or has no lines yet', async () => {
    const ids = [
      await batchWith({ ...running, status: 'completed' }),
      await batchWith({ ...running, status: 'expired' }),
      (await create()).id,
    ];
    for (const id of ids) {
      api.runs.progressOf.set(id, { completed: 9, failed: 0 });
      await counts(id);
    }
    assert.ok(ids.every((id) => !api.runs.asked.includes(id)));
    assert.deepEqual(await counts(ids[1] ?? ''), running.request_counts);
  });

  it('leaves lists to the records', async () => {
    const id = await batchWith(running);
    await client.batches.list();
    assert.ok(!api.runs.asked.includes(id));
  });
});

describe('POST /v1/batches/{id}/cancel', () => {
  it('moves the record, signals, and answers the batch', async () => {
    const { id } = await create();
    const batch = await client.batches.cancel(id);
    assert.equal(batch.status, 'cancelling');
    assert.ok((batch.cancelling_at ?? 0) >= batch.created_at);
    assert.deepEqual([batch.output_file_id, batch.error_file_id, batch.cancelled_at], [null, null, null]);
    assert.equal((await client.batches.retrieve(id)).status, 'cancelling');
    assert.ok(api.runs.cancelled.includes(id));
  });

  it('signals a repeated cancel once a minute, and only when the first one had time to arrive', async () => {
    const { id } = await create();
    const signals = () => api.runs.cancelled.filter((each) => each === id).length;
    for (let i = 0; i < 3; i += 1) await client.batches.cancel(id);
    assert.equal(signals(), 1);
    api.advance(6_000);
    for (let i = 0; i < 3; i += 1) await client.batches.cancel(id);
    assert.equal(signals(), 1, 'this process has just told it');
    api.advance(60_000);
    for (let i = 0; i < 3; i += 1) await client.batches.cancel(id);
    assert.equal(signals(), 2);
    // Another process began this cancel, and may have died before it told anybody.
    const foreign = await batchWith({ status: 'cancelling', cancelling_at: api.nowSeconds() - 4 });
    await client.batches.cancel(foreign);
    assert.ok(!api.runs.cancelled.includes(foreign));
    api.advance(5_000);
    await client.batches.cancel(foreign);
    assert.ok(api.runs.cancelled.includes(foreign));
    api.advance(-71_000);
  });

  it('takes any body, or none', async () => {
    for (const init of [{}, { headers: { 'content-type': 'application/json' } }, { body: '{}' }, { body: 'x'.repeat(100_000) }]) {
      const { id } = await create();
      const answer = await api.fetch(`/v1/batches/${id}/cancel`, { method: 'POST', ...init });
      assert.equal(answer.status, 200);
      assert.equal(Object(await answer.json()).status, 'cancelling');
    }
  });

  it('changes nothing when the batch is cancelling or cancelled', async () => {
    const { id } = await create();
    const first = await client.batches.cancel(id);
    assert.deepEqual({ ...(await client.batches.cancel(id)) }, { ...first });
    const cancelled = await batchWith({ status: 'cancelled', cancelling_at: 1, cancelled_at: 2 });
    const found = { ...(await client.batches.retrieve(cancelled)) };
    assert.deepEqual({ ...(await client.batches.cancel(cancelled)) }, found);
  });

  it('answers 409 once and for all when the batch has ended', async () => {
    for (const status of ['completed', 'failed', 'expired'] as const) {
      const id = await batchWith({ status });
      const answer = await api.fetch(`/v1/batches/${id}/cancel`, { method: 'POST' });
      assert.deepEqual([answer.status, answer.headers.get('x-should-retry')], [409, 'false']);
      assert.equal((await envelopeOf(answer)).message, `Cannot cancel a batch with status '${status}'.`);
      // A line comes when its connection is done with, maybe after the answer.
      const asked = () => api.log.filter(({ path }) => path === `/v1/batches/${id}/cancel`).length;
      await until(() => asked() === 1, { what: 'the line of the first request' });
      await assert.rejects(api.client('key-a', { maxRetries: 2 }).batches.cancel(id), OpenAI.ConflictError);
      await until(() => asked() > 1, { what: 'the line of the second request' });
      assert.equal(asked(), 2);
    }
  });

  it('answers 404 for an unknown batch and that of another tenant', async () => {
    const { id } = await create();
    const stranger = api.client('key-b');
    for (const call of [
      () => client.batches.cancel(`batch_${'0'.repeat(32)}`),
      () => client.batches.cancel('nope'),
      () => stranger.batches.cancel(id),
    ]) {
      await assert.rejects(
        async () => await call(),
        (error) => error instanceof OpenAI.NotFoundError && /no batch found/i.test(error.message),
      );
    }
    assert.equal((await client.batches.retrieve(id)).status, 'validating');
  });

  it('needs no Temporal', async () => {
    const { id } = await create();
    api.runs.state = 'away';
    assert.equal((await client.batches.cancel(id)).status, 'cancelling');
    api.runs.state = 'up';
  });
});
