import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, resultLines } from '../helpers/lines.ts';
import { failedErrors, jsonl, placeOf, requestLine, submitBytes } from './input.ts';
import { startTwoUpstreams, type TwoUpstreams } from './two-upstreams.ts';

const NO_JSON = {
  code: 'invalid_json_line',
  message: "This line is not parseable as valid JSON. Column 2 has an unexpected 'invalid json here'.",
  param: null,
};

describe('D. Validation: lines that fail the batch', () => {
  let servers: TwoUpstreams;
  let client: OpenAI;
  let callsBefore: number;
  before(async () => {
    servers = await startTwoUpstreams();
    client = servers.stack.client();
  });
  after(async () => await servers[Symbol.asyncDispose]());
  beforeEach(() => (callsBefore = servers.upstream.stats.requests));
  /** Requests that came upstream since the case began. */
  const calls = () => servers.upstream.stats.requests - callsBefore;

  const errorsOf = async (content: Buffer | string, endpoint?: OpenAI.BatchCreateParams['endpoint']) =>
    await failedErrors(client, await submitBytes(client, content, endpoint));
  const placesOf = async (content: Buffer | string, endpoint?: OpenAI.BatchCreateParams['endpoint']) =>
    (await errorsOf(content, endpoint)).map(placeOf);

  it('case 45: a line that is no JSON is named', async () => {
    assert.deepEqual(await errorsOf(jsonl([requestLine('a'), '{invalid json here', requestLine('c')])), [{ ...NO_JSON, line: 2 }]);
    assert.equal(calls(), 0);
  });

  it('case 46: each missing field is one error on its line', async () => {
    const fields = ['custom_id', 'method', 'url', 'body'];
    const lines = fields.map((field, index) => requestLine(`line-${index}`, { [field]: undefined }));
    const wanted = fields.map((param, index) => ({
      code: 'missing_required_parameter',
      message: `Missing required parameter: '${param}'.`,
      param,
      line: index + 1,
    }));
    assert.deepEqual(await errorsOf(jsonl(lines)), wanted);
    assert.deepEqual(
      await placesOf(jsonl([{ x: 1 }])),
      fields.map((param) => ({ code: 'missing_required_parameter', line: 1, param })),
    );
    assert.equal(calls(), 0);
  });

  it('case 47: a repeated custom_id is named on the later line; two batches may share one', async () => {
    const ids = ['a', 'b', 'same', 'd', 'e', 'f', 'same', 'h'];
    const [error, ...more] = await errorsOf(jsonl(ids.map((id) => requestLine(id))));
    assert.deepEqual(more, []);
    assert.deepEqual(error, {
      code: 'duplicate_custom_id',
      message:
        'The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch. Line 3 has "same" too.',
      param: 'custom_id',
      line: 7,
    });
    assert.equal(calls(), 0);
    const twins = [await submitBytes(client, chatLine('twin')), await submitBytes(client, chatLine('twin'))];
    for (const { id } of twins) assert.equal((await ended(client, id)).status, 'completed');
  });

  it('case 48: fields of a wrong type, and a blank custom_id, are named', async () => {
    const lines = [
      requestLine(5),
      requestLine(''),
      requestLine(' \t'),
      requestLine('d', { body: 'text' }),
      requestLine('e', { method: 7 }),
      requestLine('f', { url: 5 }),
      requestLine('g', {}, { model: 1 }),
      requestLine('h', { body: [] }),
      requestLine('😀'.repeat(513)),
    ];
    assert.deepEqual(await placesOf(jsonl(lines)), [
      { code: 'invalid_type', line: 1, param: 'custom_id' },
      { code: 'invalid_request', line: 2, param: 'custom_id' },
      { code: 'invalid_request', line: 3, param: 'custom_id' },
      { code: 'invalid_type', line: 4, param: 'body' },
      { code: 'invalid_type', line: 5, param: 'method' },
      { code: 'invalid_type', line: 6, param: 'url' },
      { code: 'invalid_type', line: 7, param: 'body.model' },
      { code: 'invalid_type', line: 8, param: 'body' },
      { code: 'invalid_request', line: 9, param: 'custom_id' },
    ]);
    assert.equal(calls(), 0);
  });

  it('case 49: a line that is JSON but no object is named', async () => {
    const lines = [requestLine('a'), '[1,2]', '"x"', 'null', '7'];
    assert.deepEqual(
      await placesOf(jsonl(lines)),
      [2, 3, 4, 5].map((line) => ({ code: 'invalid_request', line, param: null })),
    );
    assert.equal(calls(), 0);
  });

  it("case 50: a url that is not the batch's endpoint is named", async () => {
    const message =
      'The URL provided for this request does not match the batch endpoint. Line 2 has "/v1/embeddings", the batch "/v1/chat/completions".';
    const lines = [requestLine('a'), requestLine('b', { url: '/v1/embeddings' })];
    assert.deepEqual(await errorsOf(jsonl(lines)), [{ code: 'invalid_url', message, param: 'url', line: 2 }]);
    assert.equal(calls(), 0);
  });

  it('case 51: any method but exactly POST is named', async () => {
    const lines = [requestLine('a', { method: 'GET' }), requestLine('b', { method: 'post' }), requestLine('c')];
    assert.deepEqual(
      await placesOf(jsonl(lines)),
      [1, 2].map((line) => ({ code: 'invalid_method', line, param: 'method' })),
    );
    assert.equal(calls(), 0);
  });

  it('case 52: a body without model or messages is named', async () => {
    const lines = [requestLine('a', {}, { model: undefined }), requestLine('b', {}, { messages: undefined })];
    assert.deepEqual(await errorsOf(jsonl(lines)), [
      { code: 'invalid_request', message: 'Model parameter is required.', param: 'body.model', line: 1 },
      { code: 'invalid_request', message: 'Messages parameter is required.', param: 'body.messages', line: 2 },
    ]);
    const others = [
      ['/v1/completions', 'prompt', 'Prompt parameter is required. The body must have one of "prompt", "prompt_embeds".'],
      ['/v1/embeddings', 'input', 'Input parameter is required. The body must have one of "input", "messages".'],
      [
        '/v1/responses',
        'input',
        'Input parameter is required. The body must have one of "input", "prompt", "previous_response_id", "conversation".',
      ],
      ['/v1/moderations', 'input', 'Input parameter is required.'],
    ] as const;
    for (const [endpoint, member, message] of others) {
      const line = requestLine('a', { url: endpoint }, { messages: undefined });
      assert.deepEqual(await errorsOf(jsonl([line]), endpoint), [{ code: 'invalid_request', message, param: `body.${member}`, line: 1 }]);
    }
    assert.equal(calls(), 0);

    const body = { messages: [{ role: 'user', content: 'cat' }], user: 'marker=case-52' };
    const alternative = await submitBytes(client, jsonl([requestLine('a', { url: '/v1/embeddings' }, body)]), '/v1/embeddings');
    await ended(client, alternative.id);
    assert.equal(String(servers.upstream.calls.get('case-52')?.[0]?.body), JSON.stringify({ model: 'example-model', ...body }));
  });

  it('case 53: streaming is refused, and nothing of the file runs', async () => {
    const stream = (value: unknown, index: number) => requestLine(`line-${index}`, {}, { stream: value });
    assert.deepEqual(await errorsOf(jsonl([undefined, true, undefined].map(stream))), [
      {
        code: 'streaming_unsupported',
        message: 'Chat Completions: Streaming is not supported in the Batch API.',
        param: 'body.stream',
        line: 2,
      },
    ]);
    for (const on of ['true', 1, 'yes', 'On'])
      assert.deepEqual(await placesOf(jsonl([stream(on, 0)])), [{ code: 'streaming_unsupported', line: 1, param: 'body.stream' }]);
    const background = requestLine('a', { url: '/v1/responses' }, { input: 'x', background: true });
    assert.deepEqual(await placesOf(jsonl([background]), '/v1/responses'), [
      { code: 'streaming_unsupported', line: 1, param: 'body.background' },
    ]);
    assert.equal(calls(), 0);
    const accepted = await submitBytes(client, jsonl([false, null].map(stream)));
    assert.equal((await ended(client, accepted.id)).status, 'completed');
  });

  it('case 55: 50,000 embedding inputs are accepted, one more is not', async () => {
    const line = (id: string, inputs: unknown) => requestLine(id, { url: '/v1/embeddings' }, { input: inputs, messages: undefined });
    const words = (count: number) => Array.from({ length: count }, () => 'a');
    const accepted = await submitBytes(client, jsonl([line('a', words(25_000)), line('b', words(25_000))]), '/v1/embeddings');
    const { status, request_counts } = await ended(client, accepted.id, 120);
    assert.deepEqual([status, request_counts], ['completed', { total: 2, completed: 2, failed: 0 }]);
    const callsOfAccepted = calls();
    for (const last of ['one more', [1, 2, 3]]) {
      const lines = [line('a', words(25_000)), line('b', words(25_000)), line('c', last)];
      assert.deepEqual(await placesOf(jsonl(lines), '/v1/embeddings'), [{ code: 'too_many_embedding_inputs', line: null, param: null }]);
    }
    assert.equal(calls(), callsOfAccepted);
  });

  it('case 56: models of several upstreams may share a batch; one that no upstream has is named with those that exist', async () => {
    const models = ['example-model', 'third-model', 'other-model', 'renamed-model'];
    const lines = models.map((model, index) => requestLine(`line-${index}`, {}, { model, user: `marker=case-56-${index}` }));
    const batch = await ended(client, (await submitBytes(client, jsonl(lines))).id);
    assert.deepEqual([batch.status, batch.model, batch.request_counts], ['completed', null, { total: 4, completed: 4, failed: 0 }]);
    const ids = (await resultLines(client, batch.output_file_id)).map(({ custom_id }) => custom_id);
    assert.deepEqual(ids, ['line-0', 'line-1', 'line-2', 'line-3']);
    const bodies = models.map((_, index) => String(servers.upstream.calls.get(`case-56-${index}`)?.[0]?.body));
    const [one, two, three, four] = lines.map(({ body }) => JSON.stringify(body));
    assert.deepEqual([bodies[0], bodies[2]], [one, three]);
    assert.equal(bodies[1], two?.replace(/}$/, ',"priority":5}'));
    assert.equal(bodies[3], four?.replace('renamed-model', 'third-model').replace(/}$/, ',"priority":5}'));

    const callsBefore = calls();
    const unknown = ['listed-c', 'no-such-model'].map((model, index) => requestLine(`line-${index}`, {}, { model }));
    const start = (model: string) => `The provided model '${model}' is not supported by the Batch API.`;
    assert.deepEqual(await errorsOf(jsonl(unknown)), [
      {
        code: 'model_not_found',
        message: `${start('listed-c')} Upstream "listing" has "listed-a", "listed-b". Did you mean "listed-a"?`,
        param: 'body.model',
        line: 1,
      },
      {
        code: 'model_not_found',
        message: `${start('no-such-model')} The upstreams have "example-model", "other-model", "third-model", "renamed-model", "listed-*".`,
        param: 'body.model',
        line: 2,
      },
    ]);
    assert.equal(calls(), callsBefore);
  });
});
