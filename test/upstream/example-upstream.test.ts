import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { type ExampleUpstream, startExampleUpstream } from '../../examples/upstream.ts';
import { PLAIN } from '../../examples/upstream/behaviour.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { createRequestLineChecker } from '../../src/domain/request-line.ts';

let server: ExampleUpstream;

before(async () => (server = await startExampleUpstream()));
after(async () => await server.close());
afterEach(() => {
  server.set(PLAIN);
  server.reset();
});

async function post(body: object, path = '/v1/chat/completions', headers: Record<string, string> = {}): Promise<Response> {
  return await fetch(server.url + path, { method: 'POST', body: JSON.stringify(body), headers });
}

function chat(content: string, user?: string): object {
  return { model: 'example-model', messages: [{ role: 'user', content }], ...(user === undefined ? {} : { user }) };
}

async function statuses(count: number, prefix: string): Promise<string> {
  const found = await Promise.all(Array.from({ length: count }, async (_, index) => (await post(chat(`${prefix} ${index}`))).status));
  return found.join(' ');
}

describe('the example upstream', () => {
  it('answers the five endpoints in the shapes of the official SDK', async () => {
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' });
    const completion = await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Name a colour' }] });
    assert.match(completion.choices[0]?.message.content ?? '', /Name a colour/);
    assert.equal(completion.usage?.total_tokens, (completion.usage?.prompt_tokens ?? 0) + (completion.usage?.completion_tokens ?? 0));
    assert.match((await client.completions.create({ model: 'm', prompt: 'Once' })).choices[0]?.text ?? '', /Once/);
    const embeddings = await client.embeddings.create({ model: 'm', input: ['a', 'b'], dimensions: 4 });
    assert.deepEqual(
      embeddings.data.map(({ embedding }) => embedding.length),
      [4, 4],
    );
    assert.match((await client.responses.create({ model: 'm', input: 'Say it' })).output_text, /Say it/);
    assert.equal((await client.moderations.create({ input: 'peace' })).results[0]?.flagged, false);
    assert.equal((await client.models.list()).data[0]?.id, 'example-model');
  });

  it('gives the same answer to the same request, and another one to another', async () => {
    const [first, again, other] = await Promise.all([chat('a'), chat('a'), chat('b')].map(async (body) => await (await post(body)).text()));
    assert.equal(first, again);
    assert.notEqual(first, other);
  });

  it('follows the script of a request, call by call, and keeps what it received', async () => {
    const body = chat('a', 'marker=m1; status=503,400,200');
    const answers = [await post(body), await post(body), await post(body), await post(body)];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [503, 400, 200, 200],
    );
    assert.equal(answers[0]?.headers.get('retry-after'), '1');
    assert.deepEqual(await (await fetch(`${server.url}/__calls`)).json(), { m1: 4 });
    assert.equal(server.calls.get('m1')?.[0]?.body.toString(), JSON.stringify(body));
  });

  it('goes on serving when a script or a control makes no sense', async () => {
    for (const user of ['status=99', 'status=abc', 'status=1e9,', 'status=101', 'delay=x; mode=__proto__', '=;=']) {
      assert.equal((await post(chat('a', user))).status, 200, user);
    }
    await post({ retryAfter: '\n', latency: {}, capacity: 'x' }, '/__set');
    assert.equal((await post(chat('a', 'status=503'))).status, 503);
    assert.equal((await fetch(`${server.url}/health`)).status, 200);
  });

  it('counts scripted calls without a marker by their Idempotency-Key', async () => {
    const body = chat('a', 'status=500,200');
    const found = [];
    for (const key of ['k1', 'k1', 'k2']) found.push((await post(body, undefined, { 'idempotency-key': key })).status);
    assert.deepEqual(found, [500, 200, 500]);
  });

  it('answers scripted modes', async () => {
    assert.equal(await (await post(chat('a', 'mode=empty'))).text(), '');
    await assert.rejects((await post(chat('a', 'mode=malformed'))).json(), SyntaxError);
    await assert.rejects(post(chat('a', 'mode=reset')));
    await assert.rejects((await post(chat('a', 'mode=cut'))).text());
    assert.equal((await post(chat('a', 'mode=gzip'))).headers.get('content-encoding'), 'gzip');
    await assert.rejects(
      fetch(`${server.url}/v1/embeddings`, { method: 'POST', body: '{"user":"mode=hang"}', signal: AbortSignal.timeout(100) }),
      /timeout/i,
    );
  });

  it('refuses shares of the requests, always the same ones', async () => {
    server.set({ fail400: 0.3, fail503: 0.3 });
    const first = await statuses(60, 'share');
    assert.deepEqual(new Set(first.split(' ')), new Set(['200', '400', '503']));
    server.reset();
    server.set({ seed: 2 });
    assert.notEqual(await statuses(60, 'share'), first);
  });

  it('serves as many at a time as it has capacity for and lets the rest queue', async () => {
    server.set({ latency: 300, capacity: 3 });
    assert.equal(await statuses(9, 'queue'), Array.from({ length: 9 }, () => 200).join(' '));
    assert.deepEqual([server.stats.maxInFlight, server.stats.inFlight], [3, 0]);
  });

  it('refuses over its requests per minute and says when to come again', async () => {
    server.set({ rpm: 20 });
    const answers = [];
    for (let count = 0; count < 3; count += 1) answers.push(await post(chat('a')));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 429],
    );
    const { headers } = answers[2] ?? new Response();
    assert.ok(Number(headers.get('retry-after')) >= 1 && Number(headers.get('retry-after-ms')) > 0);
    assert.deepEqual([headers.get('x-ratelimit-limit-requests'), headers.get('x-ratelimit-remaining-requests')], ['20', '0']);
  });

  it('can be told from another process', async () => {
    await post({ fail500: 1 }, '/__set');
    assert.equal((await post(chat('a'))).status, 500);
    await post({}, '/__reset');
    assert.equal(server.stats.requests, 0);
  });
});

describe('examples/first-batch.jsonl', () => {
  it('passes the checks of an input file', () => {
    const checker = createRequestLineChecker({
      endpoint: '/v1/chat/completions',
      limits: DEFAULT_LIMITS,
      lineOf: () => null,
    });
    const lines = readFileSync(new URL('../../examples/first-batch.jsonl', import.meta.url), 'utf8')
      .trimEnd()
      .split('\n');
    assert.deepEqual(
      lines.flatMap((line, index) => checker.check(Buffer.from(line), index + 1).errors ?? []),
      [],
    );
  });

  it('has forty requests, of which the example upstream answers all but one', async () => {
    const lines = readFileSync(new URL('../../examples/first-batch.jsonl', import.meta.url), 'utf8')
      .trimEnd()
      .split('\n');
    const requests = lines.map((line): { custom_id: string; url: string; body: object } => JSON.parse(line));
    assert.deepEqual([lines.length, new Set(requests.map(({ custom_id }) => custom_id)).size], [40, 40]);
    const failed = [];
    for (const { custom_id, url, body } of requests) if (!(await post(body, url)).ok) failed.push(custom_id);
    assert.deepEqual(failed, ['error-temperature-too-high']);
  });
});
