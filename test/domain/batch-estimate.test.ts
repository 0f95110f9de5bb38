import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { createBatchEstimator } from '../../src/domain/batch-estimate.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { createPriceTable, type Prices } from '../../src/domain/prices.ts';
import type { UpstreamFacts } from '../../src/domain/upstream-facts.ts';
import { anUpstream } from '../helpers/upstream-facts.ts';

/** A line with 4 tokens of text: 12 of content and 4 of "user". */
const chat = (id: number | string, model: string | null, body = {}) =>
  JSON.stringify({
    custom_id: String(id),
    method: 'POST',
    url: '/v1/chat/completions',
    body: { ...(model === null ? {} : { model }), messages: [{ role: 'user', content: 'x'.repeat(12) }], ...body },
  });

async function estimateOf(lines: readonly string[], given: { upstreams?: readonly UpstreamFacts[]; prices?: Prices } = {}) {
  const { upstreams = [], prices } = given;
  const estimator = createBatchEstimator({
    endpoint: '/v1/chat/completions',
    limits: DEFAULT_LIMITS,
    upstreams,
    prices: prices === undefined ? null : createPriceTable(prices),
    digest: (bytes) => hash('sha256', bytes, 'buffer'),
  });
  for (const [at, text] of lines.entries()) {
    const bytes = Buffer.from(text);
    await estimator.checker.take({ bytes, line: at + 1, offset: 0, length: bytes.length });
  }
  return estimator.estimate('file-1', estimator.checker.verdict());
}

describe('createBatchEstimator', () => {
  it('finds upstreams through aliases and patterns, and sums up requests and tokens by model', async () => {
    const upstreams = [
      anUpstream('gpu', { models: ['Qwen/*', 'small'], aliases: { small: 'Qwen/Qwen3-8B' }, answersPerSecond: 2 }),
      anUpstream('hosted', { place: 1, requestsPerMinute: 30, answersPerSecond: 100 }),
    ];
    const lines = [
      chat(1, 'small'),
      chat(2, 'small', { max_tokens: 7 }),
      chat(3, 'Qwen/other', { max_tokens: 5 }),
      chat(4, 'gpt-5', { max_tokens: 1 }),
    ];
    const found = await estimateOf(lines, { upstreams });
    assert.deepEqual(
      found.models.map(({ model, upstream, upstream_model, requests, input_tokens, max_output_tokens }) => [
        model,
        upstream,
        upstream_model,
        requests,
        input_tokens,
        max_output_tokens,
      ]),
      [
        ['small', 'gpu', 'Qwen/Qwen3-8B', 2, 8, null],
        ['Qwen/other', 'gpu', 'Qwen/other', 1, 4, 5],
        ['gpt-5', 'hosted', 'gpt-5', 1, 4, 1],
      ],
    );
    assert.partialDeepStrictEqual(found, { valid: true, errors: null, requests: 4, input_tokens: 16, max_output_tokens: null, cost: null });
    assert.deepEqual(found.upstreams, [
      { name: 'gpu', requests: 3, requests_per_second: 2, seconds: 2 },
      { name: 'hosted', requests: 1, requests_per_second: 0.5, seconds: 2 },
    ]);
    assert.equal(found.seconds, 2);
  });

  it('says null for the time as long as the pace of one upstream is not known', async () => {
    const upstreams = [anUpstream('a', { models: ['a'], answersPerSecond: 10 }), anUpstream('b', { place: 1 })];
    assert.equal((await estimateOf([chat(1, 'a')], { upstreams })).seconds, 1);
    assert.equal((await estimateOf([chat(1, 'a'), chat(2, 'c')], { upstreams })).seconds, null);
    const unknown = await estimateOf([chat(1, 'a')]);
    assert.deepEqual([unknown.valid, unknown.seconds, unknown.models[0]?.upstream, unknown.upstreams], [true, null, null, []]);
  });

  it('asks the price of the name that clients use, then that of the upstream, and has no sum where one is missing', async () => {
    const upstreams = [anUpstream('gpu', { aliases: { small: 'Qwen/Qwen3-8B' } })];
    const prices = { currency: 'EUR', models: { 'Qwen/*': { input: 1_000_000, output: 2_000_000 }, named: { input: 0.1, output: 0.2 } } };
    const found = await estimateOf([chat(1, 'small', { max_tokens: 3 }), chat(2, 'named', { max_tokens: 3 })], { upstreams, prices });
    assert.deepEqual(
      found.models.map(({ cost }) => cost),
      [
        { currency: 'EUR', input: 4, max_output: 6, max_total: 10 },
        { currency: 'EUR', input: 0, max_output: 0.000001, max_total: 0.000001 },
      ],
    );
    assert.deepEqual(found.cost, { currency: 'EUR', input: 4, max_output: 6.000001, max_total: 10.000001 });
    const open = await estimateOf([chat(1, 'small')], { upstreams, prices });
    assert.deepEqual(open.cost, { currency: 'EUR', input: 4, max_output: null, max_total: null });
    const unpriced = await estimateOf([chat(1, 'small'), chat(2, 'other')], { upstreams, prices });
    assert.equal(unpriced.cost, null);
  });

  it('finds the faults of validation with their lines, and sums up the other lines', async () => {
    const upstreams = [anUpstream('gpu', { models: ['small'] })];
    const lines = [chat(1, 'small'), chat(1, 'small'), '{', chat(4, 'large'), chat(5, 'small', { stream: true }), chat(6, 'small')];
    const found = await estimateOf(lines, { upstreams });
    assert.deepEqual(
      found.errors?.data.map(({ code, line }) => [code, line]),
      [
        ['duplicate_custom_id', 2],
        ['invalid_json_line', 3],
        ['model_not_found', 4],
        ['streaming_unsupported', 5],
      ],
    );
    assert.deepEqual([found.valid, found.requests, found.models.map(({ requests }) => requests)], [false, 6, [2]]);
    const listed = await estimateOf([chat(1, 'gone')], { upstreams: [anUpstream('gpu', { listed: ['small'] })] });
    assert.deepEqual(
      listed.errors?.data.map(({ code }) => code),
      ['model_not_found'],
    );
    assert.deepEqual(
      (await estimateOf([])).errors?.data.map(({ code }) => code),
      ['empty_file'],
    );
  });

  it('stops after the errors of the contract', async () => {
    const found = await estimateOf(Array.from({ length: 200 }, () => '{'));
    assert.deepEqual([found.errors?.data.length, found.errors?.data.at(-1)?.code], [101, 'too_many_errors']);
  });

  it('tells a thousand models apart, and puts the others together', async () => {
    const found = await estimateOf(Array.from({ length: 1200 }, (_, at) => chat(at, `m${at}`)));
    assert.deepEqual([found.models.length, found.models[0]?.model, found.models[0]?.requests], [1001, null, 200]);
  });
});
