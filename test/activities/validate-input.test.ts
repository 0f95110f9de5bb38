import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import type { BatchError } from '../../src/domain/batch.ts';
import { newBatchId } from '../../src/domain/ids.ts';
import { DEFAULT_LIMITS, MAX_SHARDS, SHARD_MAX_LINES } from '../../src/domain/limits.ts';
import { createPartPool } from '../../src/storage/part-pool.ts';
import { createPieceStore } from '../../src/storage/piece-store.ts';
import { createModelRoutes } from '../../src/domain/model-routes.ts';
import { chatLine, chatLines } from '../helpers/lines.ts';
import { attempt, ENDPOINT, randomHex, run, type Stage, type StagedBatch, startStage, TENANT } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(async () => await stage[Symbol.asyncDispose]());

/** Validates and answers the errors as the record will show them. */
async function errorsOf(batch: StagedBatch, changes: Parameters<Stage['worker']>[0] = {}): Promise<BatchError[]> {
  const found = await run(stage.worker(changes).validateInput, batch);
  if (found.verdict === 'accepted') return [];
  const head = await stage.deps.pieces.getPlanHead(batch.batchId);
  assert.equal(head?.verdict, 'refused');
  return head.errors;
}

const shown = (errors: readonly BatchError[]) => errors.map(({ code, line, param }) => [code, line, param]);
const line = (changes: object) => JSON.stringify({ ...JSON.parse(chatLine('a')), ...changes });
const withoutModel = (id: string) => JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/responses', body: { input: 'x' } });
const body = (changes: object) => line({ body: { ...JSON.parse(chatLine('a')).body, ...changes } });

describe('a validation that loses its worker', () => {
  it('refuses the input after three losses and names the line it had reached', async () => {
    const batch = await stage.submit(chatLines(3));
    const lost = { attempt: 3, faults: 0, refusals: 0, sent: false, ended: false, losses: 2, losses_on_wire: 0, line: 41 };
    const { run: runAttempt } = attempt({ attempt: 4, heartbeatDetails: lost });
    assert.deepEqual(await runAttempt(stage.worker().validateInput, batch), { verdict: 'refused' });
    const head = await stage.deps.pieces.getPlanHead(batch.batchId);
    assert.equal(head?.verdict, 'refused');
    assert.deepEqual(shown(head.errors), [['input_crashed_worker', null, null]]);
    assert.match(head.errors[0]?.message ?? '', /lost 3 times, the last one after line 41\./);
  });

  it('refuses the input after three losses that came before the first heartbeat', async () => {
    const batch = await stage.submit(chatLines(3));
    const third = await attempt({ attempt: 3 }).run(stage.worker().validateInput, batch);
    assert.partialDeepStrictEqual(third, { verdict: 'accepted' });
    const other = await stage.submit(chatLines(3));
    assert.deepEqual(await attempt({ attempt: 4 }).run(stage.worker().validateInput, other), { verdict: 'refused' });
  });

  it('counts no attempt that ended by itself, however often the bucket failed', async () => {
    const batch = await stage.submit(chatLines(3));
    const files = { ...stage.deps.files, get: async () => await Promise.reject(new Error('the bucket is away')) };
    let details: unknown;
    for (let number = 1; number <= 6; number += 1) {
      const { run: runAttempt, beats } = attempt({ attempt: number, heartbeatDetails: details });
      await assert.rejects(runAttempt(stage.worker({ files }).validateInput, batch), /the bucket is away/);
      details = beats.at(-1);
    }
    const { run: runAttempt } = attempt({ attempt: 7, heartbeatDetails: details });
    assert.partialDeepStrictEqual(await runAttempt(stage.worker().validateInput, batch), { verdict: 'accepted', total: 3 });
  });
});

describe('a validation that is cut off', () => {
  const segmentSize = { requests: 1_500, bytes: 1e9 };
  const cutOff = async (batch: StagedBatch, afterBytes: number, details?: unknown): Promise<unknown> => {
    const { files } = stage.deps;
    const broken: typeof files.openContent = async (tenant, id, range) => {
      const content = await files.openContent(tenant, id, range);
      if (content === null) return null;
      const whole: AsyncIterable<Buffer> = content.body;
      let left = afterBytes - (range?.start ?? 0);
      async function* until() {
        for await (const chunk of whole) {
          yield chunk.subarray(0, Math.max(0, left));
          left -= chunk.length;
          if (left <= 0) throw new Error('killed');
        }
      }
      return { ...content, body: Readable.from(until()) };
    };
    const { run: runAttempt, beats } = attempt({ attempt: 2, heartbeatDetails: details });
    await assert.rejects(
      runAttempt(stage.worker({ segmentSize, files: { ...files, openContent: broken } }).validateInput, batch),
      /killed/,
    );
    return beats.at(-1);
  };
  /** Goes on with the details of an attempt; answers where it began to read. */
  const goOn = async (batch: StagedBatch, details: unknown) => {
    const starts: number[] = [];
    const { files } = stage.deps;
    const openContent: typeof files.openContent = async (tenant, id, range) => {
      starts.push(range?.start ?? 0);
      return await files.openContent(tenant, id, range);
    };
    const { run: runAttempt } = attempt({ attempt: 3, heartbeatDetails: details });
    const found = await runAttempt(stage.worker({ segmentSize, files: { ...files, openContent } }).validateInput, batch);
    return { found, starts };
  };
  const lines = (count: number, lineBreak: string) =>
    Array.from({ length: count }, (_, at) => chatLine(`line-${at}`) + (at % 700 === 0 ? lineBreak : '')).join(lineBreak);

  it('reads on from its last segment and comes to the same plan, whatever ends lines and however often it is cut off', async () => {
    for (const lineBreak of ['\n', '\r\n']) {
      const text = lines(6_300, lineBreak);
      const [whole, cut] = [await stage.submit(text), await stage.submit(text)];
      const expected = await run(stage.worker().validateInput, whole);
      let details: unknown;
      for (const part of [0.4, 0.55, 0.8]) details = await cutOff(cut, part * text.length, details);
      const { found, starts } = await goOn(cut, details);
      assert.ok(expected.verdict === 'accepted' && expected.shards.length === 7);
      assert.deepEqual(found, expected);
      assert.equal(starts.length, 1);
      assert.ok((starts[0] ?? 0) > 0.55 * text.length, `began at ${starts[0]} of ${text.length} bytes`);
      for (const { shard } of expected.shards) {
        const plans = await Promise.all([whole, cut].map(async ({ batchId }) => await stage.deps.pieces.getPlanShard(batchId, shard)));
        assert.ok(plans[0] !== null);
        assert.deepEqual(plans[1], plans[0]);
      }
    }
  });

  it('finds what only all lines tell, and keeps the errors from before', async () => {
    const good = Array.from({ length: 6_000 }, (_, at) => chatLine(`line-${at}`));
    const inputs: [string, string[]][] = [
      ['a custom_id from before', [...good, chatLine('line-17')]],
      [
        'an error from before',
        good.with(3_100, '{').toSpliced(3_200, 0, chatLine('line-5'), line({ custom_id: 'line-x', url: '/v1/x' }), chatLine('line-x')),
      ],
      ['another model', good.with(5_900, body({ model: 'other' }))],
      ['nothing wrong', good],
    ];
    for (const [what, all] of inputs) {
      const text = all.join('\n');
      const [whole, cut] = [await stage.submit(text), await stage.submit(text)];
      const expected = await run(stage.worker().validateInput, whole);
      const { found, starts } = await goOn(cut, await cutOff(cut, 0.9 * text.length));
      assert.deepEqual(found, expected, what);
      assert.ok((starts[0] ?? 0) > 0.5 * text.length, what);
      const [one, other] = await Promise.all([whole, cut].map(async ({ batchId }) => await stage.deps.pieces.getPlanHead(batchId)));
      if (one?.verdict === 'refused') assert.deepEqual(other, one);
      else
        assert.ok(one?.verdict === 'accepted' && other?.verdict === 'accepted' && other.model === one.model && other.total === one.total);
      if (one?.verdict === 'accepted' && other?.verdict === 'accepted') assert.deepEqual(other.models, one.models);
    }
  });

  it('begins anew when its segment is gone', async () => {
    const batch = await stage.submit(lines(4_000, '\n'));
    const { found, starts } = await goOn(batch, { segment: 'gone-3', ended: true });
    assert.deepEqual([found.verdict, starts], ['accepted', [0]]);
  });

  it('goes on beside one that was taken for lost', async () => {
    const text = lines(5_000, '\n');
    const batch = await stage.submit(text);
    const details = await cutOff(batch, 0.8 * text.length);
    const [one, other] = await Promise.all([goOn(batch, details), goOn(batch, details)]);
    assert.deepEqual(one.found, other.found);
    assert.ok(one.found.verdict === 'accepted');
    const plan = await stage.deps.pieces.getPlanShard(batch.batchId, one.found.shards.length - 1);
    assert.equal(plan?.lines.at(-1)?.customId, 'line-4999');
  });
});

describe('validateInput refuses', () => {
  it('V1: a file that nobody has, whatever the reason', async () => {
    const batch = await stage.submit(chatLines(1));
    const unknown = 'file-0123456789abcdef01234567';
    const errors = await errorsOf({ ...batch, inputFileId: unknown });
    assert.deepEqual(errors, [
      {
        code: 'invalid_request',
        message: `Cannot find file ${unknown}, or organization does not have access to it.`,
        param: 'file_id',
        line: null,
      },
    ]);
    const foreign = await stage.submit(chatLines(1));
    assert.deepEqual(shown(await errorsOf({ ...foreign, tenant: 'tenant-b' })), [['invalid_request', null, 'file_id']]);
  });

  it('V1: what is no id of a file, without asking the bucket for it', async () => {
    const files = { ...stage.deps.files, get: async () => await Promise.reject(new Error('the bucket refuses the key')) };
    const batch = await stage.submit(chatLines(1));
    for (const inputFileId of ['../../x', '', '.', 'a//b', 'a\0b', 'x'.repeat(300), `${batch.inputFileId}/`]) {
      const errors = await errorsOf({ ...batch, batchId: newBatchId(Date.now(), randomHex(20)), inputFileId }, { files });
      assert.deepEqual(shown(errors), [['invalid_request', null, 'file_id']], inputFileId);
    }
  });

  it('V2: nothing but blank lines', async () => {
    assert.deepEqual(shown(await errorsOf(await stage.submit('\n  \n\r\n'))), [['empty_file', null, null]]);
  });

  const cases: [name: string, line: string | Buffer, code: string, param: string | null][] = [
    ['V3: no JSON', '{invalid json here', 'invalid_json_line', null],
    ['V3: broken UTF-8', Buffer.concat([Buffer.from('{"custom_id":"'), Buffer.from([0xff]), Buffer.from('"}')]), 'invalid_json_line', null],
    ['V4: an array', '[1]', 'invalid_request', null],
    ['V5: no method', line({ method: undefined }), 'missing_required_parameter', 'method'],
    ['V6: a number as custom_id', line({ custom_id: 5 }), 'invalid_type', 'custom_id'],
    ['V7: a blank custom_id', line({ custom_id: ' ' }), 'invalid_request', 'custom_id'],
    ['V8: a custom_id for the second time', chatLine('first'), 'duplicate_custom_id', 'custom_id'],
    ['V9: post', line({ method: 'post' }), 'invalid_method', 'method'],
    ['V10: another url', line({ url: '/v1/embeddings' }), 'invalid_url', 'url'],
    ['V11: no model', body({ model: undefined }), 'invalid_request', 'body.model'],
    ['V12: no messages', body({ messages: undefined }), 'invalid_request', 'body.messages'],
    ['V13: a stream', body({ stream: true }), 'streaming_unsupported', 'body.stream'],
  ];
  for (const [name, bad, code, param] of cases) {
    it(`${name}, with its physical line`, async () => {
      const input = Buffer.concat([Buffer.from(`${chatLine('first')}\n\n`), Buffer.from(bad), Buffer.from(`\n${chatLine('last')}`)]);
      assert.deepEqual(shown(await errorsOf(await stage.submit(input))), [[code, 3, param]]);
    });
  }

  it('V14: a model that no upstream serves, line by line', async () => {
    const routes = createModelRoutes([{ name: 'example', models: ['example-*'] }]);
    const input = [chatLine('a'), line({ custom_id: 'b', body: { model: 'gpt-x', messages: [] } }), '{'].join('\n');
    assert.deepEqual(shown(await errorsOf(await stage.submit(input), { routes })), [
      ['model_not_found', 2, 'body.model'],
      ['invalid_json_line', 3, null],
    ]);
  });

  it('V14: a model that its upstream does not list, with the models that it lists', async () => {
    const asked: string[] = [];
    const modelLists = {
      of: async (upstream: string) => (asked.push(upstream), upstream === 'example' ? ['example-model', 'llama'] : null),
    };
    const routes = createModelRoutes([
      { name: 'example', models: null, aliases: { alias: 'never-listed' } },
      { name: 'other', models: ['gpt-*'] },
    ]);
    const of = (id: string, model: string) => line({ custom_id: id, body: { model, messages: [] } });
    const input = [chatLine('a'), of('b', 'example-modell'), of('c', 'alias'), of('d', 'Llama:latest'), of('e', 'gpt-x')].join('\n');
    const errors = await errorsOf(await stage.submit(input), { routes, modelLists });
    assert.deepEqual(
      errors.filter(({ code }) => code === 'model_not_found'),
      [
        {
          code: 'model_not_found',
          message:
            'The provided model \'example-modell\' is not supported by the Batch API. Upstream "example" has "example-model", "llama". Did you mean "example-model"?',
          param: 'body.model',
          line: 2,
        },
      ],
    );
    assert.deepEqual(asked, ['example', 'other']);
    // Nobody is asked of a file that no list can save.
    await errorsOf(await stage.submit(body({ stream: 'true' })), { routes, modelLists });
    assert.deepEqual(asked, ['example', 'other']);
  });

  it('V11: a line without a model, where no upstream serves every model', async () => {
    const routes = createModelRoutes([{ name: 'example', models: ['example-*'] }]);
    const found = await errorsOf(await stage.submit(withoutModel('a'), { endpoint: '/v1/responses' }), { routes });
    assert.deepEqual(found, [
      {
        code: 'invalid_request',
        message: 'Model parameter is required. A line without one goes to the upstream that serves every model, and there is none.',
        param: 'body.model',
        line: 1,
      },
    ]);
  });

  it('V16: one request too many, with that one error', async () => {
    const limits = { ...DEFAULT_LIMITS, maxRequestsPerBatch: 10 };
    assert.deepEqual(await errorsOf(await stage.submit(chatLines(10)), { limits }), []);
    assert.deepEqual(shown(await errorsOf(await stage.submit(chatLines(11)), { limits })), [['too_many_tasks', null, null]]);
  });

  it('V17: a byte too many, and reads no more of it than tells the model of the first line', async () => {
    const input = chatLines(3);
    const maxBatchInputBytes = input.length;
    const limits = { ...DEFAULT_LIMITS, maxBatchInputBytes };
    assert.deepEqual(await errorsOf(await stage.submit(input), { limits }), []);

    const read: unknown[] = [];
    const files: typeof stage.deps.files = {
      ...stage.deps.files,
      openContent(tenant, id, range) {
        read.push(range);
        return stage.deps.files.openContent(tenant, id, range);
      },
    };
    const messageOf = async (text: string) => {
      const errors = await errorsOf(await stage.submit(text), { limits, files });
      assert.deepEqual(shown(errors), [['file_too_large', null, null]]);
      return errors[0]?.message;
    };
    const message = `The batch input file is larger than the ${maxBatchInputBytes} maximum`;
    assert.equal(await messageOf(`\n${input}`), `${message} for the example-model model`);
    assert.equal(await messageOf(`\uFEFF${input}`), `${message} for the example-model model`);
    assert.equal(await messageOf(`{"custom_id":"no model"}\n${input}`), message);
    assert.equal(await messageOf(`no JSON\n${input}`), message);
    assert.equal(await messageOf(`${body({ messages: ['x'.repeat(3_000_000)] })}\n`), message);
    assert.deepEqual(read.at(-1), { start: 0, end: 1024 * 1024 - 1 });
  });

  it('V18: more embedding inputs than all lines together may have', async () => {
    const embedding = (id: string, count: number) =>
      JSON.stringify({
        custom_id: id,
        method: 'POST',
        url: '/v1/embeddings',
        body: { model: 'm', input: Array.from({ length: count }, () => 'x') },
      });
    const limits = { ...DEFAULT_LIMITS, maxEmbeddingInputs: 6 };
    const submit = async (...counts: number[]) =>
      await stage.submit(counts.map((count, at) => embedding(`id-${at}`, count)).join('\n'), { endpoint: '/v1/embeddings' });
    assert.deepEqual(await errorsOf(await submit(3, 3), { limits }), []);
    assert.deepEqual(shown(await errorsOf(await submit(3, 3, 1), { limits })), [['too_many_embedding_inputs', null, null]]);
  });

  it('100 errors in the order of lines and one more entry, of 50,000 bad lines', async () => {
    const exactly = await errorsOf(await stage.submit('{\n'.repeat(100)));
    assert.equal(exactly.length, 100);
    assert.deepEqual(exactly.at(-1)?.line, 100);

    const errors = await errorsOf(await stage.submit('{"custom_id": 5}\n'.repeat(50_000)));
    assert.equal(errors.length, 101);
    assert.deepEqual(errors.at(-1), { code: 'too_many_errors', message: 'Validation stopped after 100 errors.', param: null, line: null });
    assert.ok(errors.slice(0, 100).every(({ line: at }, index) => index === 0 || (at ?? 0) >= (errors[index - 1]?.line ?? 0)));
  });
});

describe('validateInput and requests with blank lines between them', () => {
  /** Of so many requests each has a shard of its own. */
  const sparse = (requests: number) =>
    Array.from({ length: requests }, (_, at) => chatLine(`line-${at}`)).join('\n'.repeat(SHARD_MAX_LINES));
  // What is written of the plan is not the matter here.
  const worker = () => stage.worker({ pieces: { ...stage.deps.pieces, putPlanShard: async () => undefined } });

  it('accepts as many shards as Temporal can be told of', async () => {
    const found = await run(worker().validateInput, await stage.submit(sparse(MAX_SHARDS)));
    assert.ok(found.verdict === 'accepted' && found.shards.length === MAX_SHARDS);
    const allClosed = { ...found, closed: found.shards.map(({ shard }) => shard) };
    // An attempt that finds them all closed says so too.
    assert.ok(Buffer.byteLength(JSON.stringify(allClosed)) < 1024 * 1024);
  });

  it('refuses one shard more, without reading on', async () => {
    const input = `${sparse(MAX_SHARDS + 1)}\n{`;
    const batch = await stage.submit(input);
    assert.deepEqual(await run(worker().validateInput, batch), { verdict: 'refused' });
    await run(stage.worker().saveBatch, { ...batch, to: 'failed', counts: null });
    const { status, errors } = await stage.record(batch);
    assert.deepEqual([status, shown(errors?.data ?? [])], ['failed', [['input_too_sparse', null, null]]]);
  });
});

describe('validateInput accepts', () => {
  it('a mark at the start, CRLF, blank lines and no line break at the end', async () => {
    const lines = [chatLine('a'), '', chatLine('b'), '   ', chatLine('c')];
    const batch = await stage.submit(`\uFEFF${lines.join('\r\n')}`);
    const found = await run(stage.worker().validateInput, batch);
    assert.deepEqual(found, {
      verdict: 'accepted',
      total: 3,
      model: 'example-model',
      upstream: 'example',
      shards: [{ shard: 0, firstLine: 1, lastLine: 5, requests: 3 }],
      batchesRunning: 1,
      capacity: 64,
      closed: [],
      completed: 0,
      failed: 0,
    });
    const plan = await stage.deps.pieces.getPlanShard(batch.batchId, 0);
    assert.deepEqual(
      plan?.lines.map(({ line: at }) => at),
      [1, 3, 5],
    );
    assert.equal(plan?.lines[0]?.offset, 3);
  });

  it('and tells the capacity that all workers have found upstream, which a budget of requests makes meaningless', async () => {
    const upstream = stage.deps.upstreams.get('example');
    assert.ok(upstream !== undefined);
    const of = async (more: Partial<typeof upstream>) => {
      const worker = stage.worker({ upstreams: new Map([['example', { ...upstream, ...more }]]), workersOf: () => 3 });
      const found = await run(worker.validateInput, await stage.submit(chatLines(1)));
      assert.ok(found.verdict === 'accepted');
      return found.capacity;
    };
    assert.equal(await of({}), 3 * 64);
    assert.equal(await of({ requestsPerMinute: 600 }), undefined);
  });

  it('50,000 lines, cut into shards whose plan finds every line again', async () => {
    const batch = await stage.submit(chatLines(50_000));
    const found = await run(stage.worker().validateInput, batch);
    assert.equal(found.verdict, 'accepted');
    assert.equal(found.total, 50_000);
    assert.equal(found.shards.length, 50);
    const plan = await stage.deps.pieces.getPlanShard(batch.batchId, 49);
    const last = plan?.lines.at(-1);
    assert.ok(last);
    const content = await stage.deps.files.openContent(TENANT, batch.inputFileId, {
      start: last.offset,
      end: last.offset + last.length - 1,
    });
    assert.ok(content);
    const chunks: Buffer[] = [];
    for await (const chunk of content.body) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), chatLine('line-50000'));
  });

  it('custom_ids as long as they may be, in a plan no larger than its input', async () => {
    const lines = Array.from({ length: 1500 }, (_, at) => chatLine(`${'\u0001'.repeat(500)}${at}`));
    const batch = await stage.submit(lines.join('\n'));
    const found = await run(stage.worker().validateInput, batch);
    assert.ok(found.verdict === 'accepted');
    for await (const { key, size } of stage.bucket.store.list(`work/${batch.batchId}/plan/shard-`)) {
      assert.ok(size <= 1000 * (lines[0]?.length ?? 0), `${key} has ${size} bytes`);
    }
  });

  it('an input of 180 MB in memory that does not grow with it', async () => {
    const padding = 'x'.repeat(4000);
    function* input(lines: number) {
      for (let at = 0; at < lines; at += 1) yield Buffer.from(`${chatLine(`line-${at}`, padding)}\n`);
    }
    // A smaller one before: what a process takes to validate anything at all is not the input's.
    const [small, large] = [await stage.submit(input(4_000)), await stage.submit(input(44_000))];
    assert.equal((await run(stage.worker().validateInput, small)).verdict, 'accepted');
    const beforeBytes = process.memoryUsage.rss();
    let peakBytes = beforeBytes;
    const watch = setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage.rss())), 5);
    const found = await run(stage.worker().validateInput, large).finally(() => clearInterval(watch));
    assert.ok(found.verdict === 'accepted' && found.total === 44_000);
    assert.ok(peakBytes - beforeBytes < 90 * 1024 * 1024, `it took ${peakBytes - beforeBytes} bytes more`);
  });

  it('a line of 50 MB among small ones, as a shard of its own', async () => {
    const long = Buffer.from(body({ messages: [{ role: 'user', content: 'x'.repeat(50_000_000) }] }));
    function* input() {
      yield Buffer.from(`${chatLine('first')}\n`);
      for (let at = 0; at < long.length; at += 1_000_000) yield long.subarray(at, at + 1_000_000);
      yield Buffer.from(`\n${chatLine('last')}\n`);
    }
    const found = await run(stage.worker().validateInput, await stage.submit(input()));
    assert.equal(found.verdict, 'accepted');
    assert.deepEqual(
      found.shards.map(({ firstLine, lastLine }) => [firstLine, lastLine]),
      [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
    );
  });

  it('lines without a model, which go to the upstream that serves every model', async () => {
    for (const models of [null, ['*']]) {
      const routes = createModelRoutes([
        { name: 'other', models: ['gpt-x'] },
        { name: 'example', models },
      ]);
      const found = await run(
        stage.worker({ routes }).validateInput,
        await stage.submit([withoutModel('a'), withoutModel('b')].join('\n'), { endpoint: '/v1/responses' }),
      );
      assert.ok(found.verdict === 'accepted');
      assert.deepEqual([found.total, found.model, found.upstream], [2, null, 'example']);
    }
  });

  it('models of several upstreams, and plans which line goes where', async () => {
    const routes = createModelRoutes([
      { name: 'other', models: ['gpt-x'] },
      { name: 'example', models: ['example-model'] },
    ]);
    const example = stage.deps.upstreams.get('example');
    assert.ok(example);
    const upstreams = new Map([
      ['example', example],
      ['other', { ...example, requestsPerMinute: 60 }],
    ]);
    const of = (id: string, model: string) => line({ custom_id: id, body: { model, messages: [] } });
    const input = [chatLine('a'), of('b', 'gpt-x'), '', chatLine('c'), of('d', 'gpt-x')].join('\n');
    const batch = await stage.submit(input);
    const worker = stage.worker({ routes, upstreams });
    const found = await run(worker.validateInput, batch);
    assert.ok(found.verdict === 'accepted');
    assert.deepEqual(
      [found.model, found.upstream, found.linesPerActivity, found.otherUpstreams],
      [null, 'example', undefined, [{ name: 'other', linesPerActivity: 1 }]],
    );
    assert.deepEqual(found.shards, [{ shard: 0, firstLine: 1, lastLine: 5, requests: 4, upstreams: [0, 1] }]);
    const lines = await run(worker.readShard, { batchId: batch.batchId, shard: 0 });
    assert.deepEqual(lines, [
      {
        upstream: 0,
        lines: [
          [1, 1],
          [4, 4],
        ],
      },
      {
        upstream: 1,
        lines: [
          [2, 2],
          [5, 5],
        ],
      },
    ]);
  });

  it('several models of one upstream, and then names none', async () => {
    const input = [chatLine('a'), line({ custom_id: 'b', body: { model: 'other', messages: [] } })].join('\n');
    const found = await run(stage.worker().validateInput, await stage.submit(input));
    assert.equal(found.verdict, 'accepted');
    assert.equal(found.model, null);
  });
});

describe('validateInput and a model whose name is long', () => {
  it('tells Temporal of 255 characters, and keeps the whole name for the record', async () => {
    for (const [name, shown, kept] of [
      ['m'.repeat(255), 255, 255],
      ['m'.repeat(4096), 255, 4096],
    ] as const) {
      const batch = await stage.submit(body({ model: name }));
      const found = await run(stage.worker().validateInput, batch);
      assert.equal(found.verdict, 'accepted');
      assert.equal(found.model, name.slice(0, shown));
      await run(stage.worker().saveBatch, { ...batch, to: 'in_progress', counts: null });
      assert.equal((await stage.record(batch)).model, name.slice(0, kept));
    }
  });
});

describe('validateInput and a model whose name is too long', () => {
  it('refuses the line', async () => {
    for (const name of ['m'.repeat(4097), '🌙'.repeat(4097), 'm'.repeat(3_000_000)]) {
      const length = [...name].length;
      const batch = await stage.submit([chatLine('a'), line({ custom_id: 'b', body: { model: name, messages: [] } })].join('\n'));
      assert.deepEqual(await run(stage.worker().validateInput, batch), { verdict: 'refused' });
      const head = await stage.deps.pieces.getPlanHead(batch.batchId);
      assert.equal(head?.verdict, 'refused');
      assert.deepEqual(shown(head.errors), [['invalid_request', 2, 'body.model']]);
      assert.match(head.errors[0]?.message ?? '', new RegExp(`maximum length 4096, but got a string with length ${length} instead`));
    }
  });
});

describe('validateInput, a second time', () => {
  it('leaves the plan that stands as it is, whenever a validator that is late writes another', async () => {
    const { pieces } = stage.deps;
    const batch = await stage.submit(chatLines(3));
    const written = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const late = stage.worker({
      pieces: {
        ...pieces,
        // As a version would that cuts at another place.
        async putPlanShard(at, { lines, ...range }) {
          written.resolve();
          await goOn.promise;
          await pieces.putPlanShard(at, { ...range, lastLine: 1, lines: lines.slice(0, 1) });
        },
      },
    });
    const zombie = run(late.validateInput, batch);
    await written.promise;
    const found = await run(stage.worker().validateInput, batch);
    const plan = await pieces.getPlanShard(batch.batchId, 0);
    assert.equal(plan?.lines.length, 3);
    goOn.resolve();
    assert.deepEqual(await zombie, found);
    // Nothing is remembered elsewhere.
    const elsewhere = createPieceStore({ store: stage.bucket.store, newNonce: () => randomHex(16), parts: createPartPool(1) });
    assert.deepEqual(await elsewhere.getPlanShard(batch.batchId, 0), plan);
  });

  it('makes no plan for a batch that has started', async () => {
    const batch = await stage.submit(chatLines(3));
    assert.deepEqual(await run(stage.worker().validateInput, { ...batch, isPlanned: true }), { verdict: 'plan_missing' });
    assert.equal(await stage.deps.pieces.getPlanHead(batch.batchId), null);
  });

  it('uses the plan that is there, even if the file is gone, and knows what is closed', async () => {
    const batch = await stage.begin(chatLines(3));
    const { pieces, files } = stage.deps;
    const usage = {
      input_tokens: 0,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 0,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 0,
    };
    await pieces.createShardResult(batch.batchId, {
      shard: 0,
      firstLine: 1,
      lastLine: 3,
      completed: 2,
      failed: 1,
      notRun: 0,
      copied: 0,
      usage,
      models: [],
      output: null,
      failures: [],
      error: null,
      lines: [],
    });
    assert.equal(await files.delete(TENANT, batch.inputFileId), true);
    const again = await run(stage.worker().validateInput, { ...batch, endpoint: ENDPOINT });
    assert.deepEqual(again, { ...batch.plan, closed: [0], completed: 2, failed: 1 });
  });
});
