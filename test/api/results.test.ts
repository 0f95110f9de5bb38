import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toLineResult } from '../../activities/run-requests/line-results.ts';
import type { BatchResult } from '../../src/domain/batch-result.ts';
import { isJsonRecord } from '../../src/domain/json-type.ts';
import { createResultStore } from '../../src/storage/result-store.ts';
import { randomHex, run, slice, type Stage, type StagedBatch, startStage } from '../activities/stage.ts';
import { chatLine, chatLines } from '../helpers/lines.ts';
import { type DescribedApi, describedAnswers } from './described-answers.ts';
import { envelopeOf, startTestApi, type TestApi } from './test-api.ts';

let stage: Stage;
let api: TestApi;
let described: DescribedApi;
before(async () => {
  stage = await startStage();
  api = await startTestApi(stage.bucket);
  described = await describedAnswers(api);
});
after(async () => {
  await api[Symbol.asyncDispose]();
  await stage[Symbol.asyncDispose]();
});

async function pageOf({ batchId }: StagedBatch, query = ''): Promise<{ data: BatchResult[]; last_id: string | null; has_more: boolean }> {
  const page = await described.call('GET /v1/batches/{id}/results', 200, { id: batchId, query: query && `?${query}` });
  assert.ok(isJsonRecord(page));
  return Object(page);
}

/** All pages, one after the other, and how many there were. */
async function walk(batch: StagedBatch, query: string, onPage: () => Promise<void> = async () => {}): Promise<BatchResult[]> {
  const items: BatchResult[] = [];
  for (let after = ''; ;) {
    const page = await pageOf(batch, `${query}${after && `&after=${after}`}`);
    items.push(...page.data);
    if (!page.has_more) return items;
    after = page.last_id ?? '';
    await onPage();
  }
}

const linesOf = (items: readonly BatchResult[]) => items.map(({ line }) => line);
const isIncomplete = async ({ batchId }: StagedBatch) =>
  (await api.fetch(`/v1/batches/${batchId}/results`)).headers.get('x-nightshift-incomplete');
const move = async (batch: StagedBatch, to: 'cancelling' | 'finalizing') =>
  await run(stage.worker().saveBatch, { ...batch, to, counts: null });
const send = async (batch: StagedBatch, first: number, last: number, shard = 0) =>
  void (await run(stage.worker().runRequests, slice(batch, first, last, { shard })));

async function end(batch: Awaited<ReturnType<Stage['begin']>>, to: 'completed' | 'cancelled' | 'expired' = 'completed'): Promise<void> {
  for (const range of batch.plan.shards) await run(stage.worker().closeShard, { ...batch, range });
  if (to === 'completed') await move(batch, 'finalizing');
  await run(stage.worker().publishResults, { ...batch, to });
  const stretch = { after: '', isOver: () => false, check: () => undefined, reached: () => undefined };
  await stage.deps.housekeeping.removeWork([batch.batchId], stretch);
}

describe('GET /v1/batches/{id}/results', () => {
  it('lists the lines that are known while the batch runs, in the order of the input', async () => {
    const batch = await stage.begin(chatLines(2300));
    assert.deepEqual((await pageOf(batch)).data, []);
    await send(batch, 40, 45);
    await send(batch, 10, 12);
    await send(batch, 2100, 2102, 2);
    const known = [10, 11, 12, 40, 41, 42, 43, 44, 45, 2100, 2101, 2102];
    assert.deepEqual(linesOf(await walk(batch, 'limit=5')), known);
    assert.equal(await isIncomplete(batch), 'true');
    await send(batch, 1, 9);
    await send(batch, 13, 39);
    await send(batch, 46, 1000);
    assert.equal(
      (await run(stage.worker().closeShard, { ...batch, range: { shard: 0, firstLine: 1, lastLine: 1000, requests: 1000 } })).closed,
      true,
    );
    const closed = await walk(batch, 'limit=1000');
    assert.deepEqual(linesOf(closed), [...Array.from({ length: 1000 }, (_, at) => at + 1), 2100, 2101, 2102]);
    assert.ok(closed.every(({ custom_id, line }) => custom_id === `line-${line}`));
  });

  it('answers no line twice and none out of order when lines become known between two pages', async () => {
    const batch = await stage.begin(chatLines(60));
    await send(batch, 20, 40);
    let next = 1;
    const found = linesOf(
      await walk(batch, 'limit=4', async () => {
        await send(batch, next, next + 1);
        await send(batch, 40 + next, 41 + next);
        next += 2;
      }),
    );
    assert.deepEqual(
      found,
      [...new Set(found)].toSorted((a, b) => a - b),
    );
    // All that were known before the walk, and none that became known behind it.
    assert.deepEqual(
      found.slice(0, 21),
      Array.from({ length: 21 }, (_, at) => 20 + at),
    );
    assert.ok(found.length > 21);
    assert.deepEqual(linesOf(await walk(batch, 'limit=1000')).slice(0, 3), [1, 2, 3]);
  });

  it('says the same of each line while the batch runs, when its shard is closed, and when it has ended', async () => {
    const batch = await stage.begin(
      [
        chatLine('ok'),
        '',
        chatLine('rejected', 'status=400'),
        chatLine('héllo "quoted"'),
        chatLine('twice', 'status=429,200'),
        chatLine('last'),
      ].join('\n'),
    );
    await send(batch, 1, 6);
    const running = await walk(batch, 'limit=2&body=true');
    const [range] = batch.plan.shards;
    assert.ok(range);
    await run(stage.worker().closeShard, { ...batch, range });
    const closed = await walk(batch, 'limit=2&body=true');
    assert.equal(await isIncomplete(batch), 'true');
    await end(batch);
    const ended = await walk(batch, 'limit=2&body=true');
    assert.equal(await isIncomplete(batch), null);
    assert.deepEqual(closed, running);
    assert.deepEqual(ended, running);
    assert.deepEqual(
      ended.map(({ line, custom_id, outcome, status, attempts }) => [line, custom_id, outcome, status, attempts]),
      [
        [1, 'ok', 'completed', 200, 1],
        [3, 'rejected', 'failed', 400, 1],
        [4, 'héllo "quoted"', 'completed', 200, 1],
        [5, 'twice', 'completed', 200, 2],
        [6, 'last', 'completed', 200, 1],
      ],
    );
    const [ok, rejected] = ended;
    assert.ok((ok?.usage?.total_tokens ?? 0) > 0 && (ok?.milliseconds ?? -1) >= 0 && ok?.error === null);
    assert.ok(rejected?.usage === null && typeof rejected.error?.message === 'string');
    const record = await stage.record(batch);
    const files = [...(await stage.resultLines(record.output_file_id)), ...(await stage.resultLines(record.error_file_id))];
    assert.deepEqual(
      files.map(({ id, response }) => [id, response?.body]).toSorted(),
      ended.map(({ result_id, body }) => [result_id, body]).toSorted(),
    );
    assert.deepEqual(Object.keys((await pageOf(batch)).data[0] ?? {}).includes('body'), false);
  });

  it('shows the words of an upstream in any of their forms, and the status of an answer without words', async () => {
    const batch = await stage.begin(chatLines(3));
    const bodies = ['{"detail":"the model is asleep"}', '[{"error":{"message":"first of a list","code":"NOT_NOW"}}]', '{"trace":7}'];
    const results = bodies.map((body, at) => {
      const answer = { status: 500 + at, body: Buffer.from(body), requestId: null };
      const outcome = { kind: 'answered', isSuccess: false, answer, usage: null } as const;
      return toLineResult(outcome, { line: at + 1, customId: `line-${at + 1}`, randomHex, attempts: 1, milliseconds: 1 });
    });
    await stage.deps.pieces.putPiece({ ...batch, shard: 0, writer: 'w', piece: 1 }, results);
    assert.deepEqual(
      (await pageOf(batch)).data.map(({ error }) => error),
      [
        { code: null, message: 'the model is asleep' },
        { code: 'upstream_error', message: '[{"error":{"message":"first of a list","code":"NOT_NOW"}}]' },
        { code: null, message: 'The upstream answered with status 502.' },
      ],
    );
  });

  it('finds the line of a custom_id, and lines by how they ended', async () => {
    const batch = await stage.begin(
      Array.from({ length: 2300 }, (_, at) => chatLine(`line-${at + 1}`, at % 500 === 3 ? 'status=400' : '')).join('\n'),
    );
    await send(batch, 1, 1000);
    await send(batch, 1001, 1500, 1);
    const one = async (id: string) => linesOf((await pageOf(batch, `custom_id=${encodeURIComponent(id)}`)).data);
    const failed = async () => linesOf(await walk(batch, 'status=failed'));
    assert.deepEqual([await one('line-1203'), await one('line-2203'), await one('nobody')], [[1203], [], []]);
    assert.deepEqual(await failed(), [4, 504, 1004]);
    await move(batch, 'cancelling');
    await end(batch, 'cancelled');
    assert.deepEqual([await one('line-1203'), await one('line-2203'), await one('nobody')], [[1203], [2203], []]);
    assert.deepEqual(await failed(), [4, 504, 1004]);
    const cancelled = await walk(batch, 'status=cancelled&limit=1000');
    assert.deepEqual(
      linesOf(cancelled),
      Array.from({ length: 800 }, (_, at) => 1501 + at),
    );
    assert.partialDeepStrictEqual(cancelled[0], {
      status: null,
      attempts: 0,
      milliseconds: null,
      usage: null,
      error: { code: 'batch_cancelled' },
    });
    assert.equal((await walk(batch, 'status=failed,cancelled&limit=1000')).length, 803);
  });

  it('reads a few objects for a page of a batch of many shards', async () => {
    const batch = await stage.begin(chatLines(5000));
    for (const { shard, firstLine, lastLine } of batch.plan.shards) await send(batch, firstLine, lastLine, shard);
    const calls: string[] = [];
    const { store } = stage.bucket;
    const counting: typeof store = {
      ...store,
      get: async (...given) => (calls.push(given[0]), await store.get(...given)),
      list: (...given) => (calls.push(given[0]), store.list(...given)),
      listFolders: (...given) => (calls.push(given[0]), store.listFolders(...given)),
    };
    const results = createResultStore({ store: counting, pieces: stage.deps.pieces, files: stage.deps.files });
    const query = { after: 3000, limit: 10, outcomes: null, customId: null, withBody: false };
    const record = async () => {
      const found = await stage.deps.batches.get(batch.tenant, batch.batchId);
      assert.ok(found);
      return found;
    };
    const lines = async (more: object) => {
      calls.length = 0;
      const page = await results.page(await record(), { ...query, ...more });
      assert.ok(page !== 'gone');
      return page.data.map(({ line }) => line);
    };
    const expected = Array.from({ length: 10 }, (_, at) => 3001 + at);
    assert.deepEqual(await lines({}), expected);
    assert.ok(calls.length <= 4, calls.join());
    await end(batch);
    assert.deepEqual(await lines({}), expected);
    assert.ok(calls.length <= 3, calls.join());
    assert.deepEqual(await lines({ after: 0, customId: 'line-4321' }), [4321]);
    assert.ok(calls.length <= 4, calls.join());
  });

  it('has no results before the batch runs, and none when its input is refused', async () => {
    const waiting = await stage.submit(chatLines(1));
    assert.deepEqual([(await pageOf(waiting)).data, await isIncomplete(waiting)], [[], 'true']);
    const refused = await stage.submit('not a request');
    await run(stage.worker().validateInput, refused);
    await run(stage.worker().saveBatch, { ...refused, to: 'failed', counts: null });
    assert.deepEqual([(await pageOf(refused)).data, await isIncomplete(refused)], [[], null]);
  });

  it('says that the results are gone when their files are', async () => {
    const batch = await stage.begin(`${chatLine('ok')}\n${chatLine('bad', 'status=400')}\n`);
    await send(batch, 1, 2);
    await end(batch);
    const { output_file_id, error_file_id } = await stage.record(batch);
    await stage.deps.files.delete(batch.tenant, error_file_id ?? '');
    assert.deepEqual(linesOf(await walk(batch, '')), [1]);
    await stage.deps.files.delete(batch.tenant, output_file_id ?? '');
    const answer = await api.fetch(`/v1/batches/${batch.batchId}/results`);
    assert.equal(answer.status, 404);
    assert.equal((await envelopeOf(answer)).code, 'results_gone');
    for await (const { key } of stage.bucket.store.list(`index/${batch.tenant}/${output_file_id}`)) assert.fail(`${key} is left`);
  });

  it('refuses what it does not know, and hides the batches of others', async () => {
    const batch = await stage.submit(chatLines(1));
    for (const [query, param] of [
      ['limit=1001', 'limit'],
      ['limit=0', 'limit'],
      ['after=batch_1', 'after'],
      ['after=line_', 'after'],
      ['status=done', 'status'],
      ['body=1', 'body'],
    ] as const) {
      const answer = await api.fetch(`/v1/batches/${batch.batchId}/results?${query}`);
      assert.equal(answer.status, 400, query);
      assert.equal((await envelopeOf(answer)).param, param);
    }
    const foreign = await api.fetch(`/v1/batches/${batch.batchId}/results`, { headers: { authorization: 'Bearer key-b' } });
    assert.equal(foreign.status, 404);
  });
});
