import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { runPythonCases } from './python-cases.ts';
import { chatAnswer, type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts';
import { accountFor, names, statusesOf, watch } from './story.ts';
import { send } from './wire.ts';

const KEY = 'sk-upstream-0123456789';

describe('E. Execution and results: what the files hold', () => {
  let upstream: ScriptedUpstream;
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    upstream = await startScriptedUpstream();
    stack = await startStack({ env: { NIGHTSHIFT_UPSTREAM_URL: `${upstream.url}/v1`, NIGHTSHIFT_UPSTREAM_API_KEY: KEY } });
    client = stack.client();
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
  });

  const run = async (lines: readonly string[], options: Partial<OpenAI.BatchCreateParams> = {}) =>
    await ended(client, (await submit(client, lines.join('\n'), options)).id);
  const text = async (fileId: string | null | undefined) => (await send(stack, `/v1/files/${fileId}/content`)).text;

  it('case 68: two good lines go through the legal statuses to completed', async () => {
    const created = await submit(client, [chatLine('a'), chatLine('b')].join('\n'));
    const seen = [created, ...(await watch(client, created.id))];
    const statuses = statusesOf(seen);
    const legal = ['validating', 'in_progress', 'finalizing', 'completed'];
    assert.deepEqual(
      statuses,
      legal.filter((status) => statuses.includes(status)),
    );
    const batch = seen.at(-1) ?? created;
    const times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at].map(Number);
    assert.ok(times.every((time, index) => time >= (times[index - 1] ?? 1)));
    assert.deepEqual([batch.failed_at, batch.expired_at, batch.cancelling_at, batch.cancelled_at], [null, null, null, null]);
    const { output } = await accountFor(client, batch, ['a', 'b']);
    assert.equal(output.length, 2);
    assert.equal(batch.error_file_id, null);
  });

  it('case 69: a line that the upstream refuses fails alone', async () => {
    const body = '{"error":{"message":"No such thing.","type":"invalid_request_error","param":"x","code":null}}';
    upstream.on('refused-69', () => ({ status: 400, body }));
    const batch = await run([chatLine('good'), chatLine('bad', 'refused-69')]);
    assert.equal(batch.status, 'completed');
    const { output, errors } = await accountFor(client, batch, ['good', 'bad']);
    assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 1 });
    assert.equal(output[0]?.custom_id, 'good');
    assert.equal(errors[0]?.response?.status_code, 400);
    assert.deepEqual(errors[0]?.response?.body, JSON.parse(body));
    assert.ok(errors[0]?.response?.request_id);
    assert.equal(errors[0]?.error, null);
    assert.equal(upstream.callsOf('refused-69').length, 1);
  });

  it('case 70: a batch of nothing but failures is completed without an output file', async () => {
    upstream.on('refused-70', () => ({ status: 400, body: '{"error":{"message":"No."}}' }));
    const batch = await run(names('line-', 3).map((id) => chatLine(id, 'refused-70')));
    assert.equal(batch.status, 'completed');
    assert.equal(batch.output_file_id, null);
    assert.deepEqual(batch.request_counts, { total: 3, completed: 0, failed: 3 });
    await accountFor(client, batch, names('line-', 3));
  });

  it('case 74: the body is what the upstream sent, byte for byte, but for raw breaks', async () => {
    const sent =
      '\ufeff \n{\r\n "z":1.0,"a":9223372036854775807, "e":1e5,\n"s":"\\u00e9 \\/ \\n é \u2028 \u2029 \u0085 😀","a":{"__proto__":[]}}\r\n ';
    const kept = '{   "z":1.0,"a":9223372036854775807, "e":1e5, "s":"\\u00e9 \\/ \\n é \\u2028 \\u2029 \\u0085 😀","a":{"__proto__":[]}}';
    upstream.on('bytes-74', () => ({ body: sent, headers: { 'x-request-id': 'req-of-the-upstream' } }));
    upstream.on('plain-74', () => ({ body: '{"plain":true}' }));
    const batch = await run([chatLine('bytes', 'bytes-74'), chatLine('plain', 'plain-74')]);
    const [bytes = '', plain = ''] = (await text(batch.output_file_id)).split('\n');
    assert.ok(bytes.includes(`"body":${kept}}`), bytes);
    assert.equal(JSON.parse(bytes).response.request_id, 'req-of-the-upstream');
    assert.ok(plain.includes('"body":{"plain":true}}'));
    assert.match(JSON.parse(plain).response.request_id, /^\S+$/);
  });

  it('case 75: every line parses alone, and Python counts as many lines as there are', async () => {
    const separators = 'x\u0085\u2028\u2029y';
    upstream.on('separators-75', () => ({ body: JSON.stringify({ separators }) }));
    upstream.on('error-75', () => ({ status: 422, body: JSON.stringify({ error: { message: separators } }) }));
    const lines = [
      ...names('good-', 20).map((id) => chatLine(id, 'separators-75')),
      ...names('bad-', 5).map((id) => chatLine(id, 'error-75')),
    ];
    const batch = await run([...lines, chatLine(`id\u2028\u0085 😀`)]);
    const contents = [await text(batch.output_file_id), await text(batch.error_file_id)];
    const ids = new Set<string>();
    for (const content of contents) {
      assert.ok(content.endsWith('\n'));
      assert.doesNotMatch(content, /^\ufeff|\n\n|^\n|[\r\u0085\u2028\u2029]/);
      for (const line of content.slice(0, -1).split('\n')) {
        const parsed: Record<string, unknown> = JSON.parse(line);
        assert.deepEqual(Object.keys(parsed).toSorted(), ['custom_id', 'error', 'id', 'response']);
        assert.match(String(parsed['id']), /^batch_req_/);
        ids.add(String(parsed['id']));
      }
    }
    assert.equal(ids.size, 26);
    const [first] = await resultLines(client, batch.output_file_id);
    assert.equal(first?.response?.body['separators'], separators);
    const python = await runPythonCases('e_results.py', stack, String(batch.output_file_id), '21', String(batch.error_file_id), '5');
    python.assertHolds(75);
  });

  it('case 76: every custom_id of the input stands once in output or error file', async () => {
    upstream.on('refused-76', () => ({ status: 404, body: '{"error":{"message":"No."}}' }));
    const ids = names('line-', 60);
    const batch = await run(ids.map((id, index) => chatLine(id, index % 7 === 0 ? 'refused-76' : undefined)));
    assert.equal(batch.status, 'completed');
    const { errors } = await accountFor(client, batch, ids);
    assert.equal(errors.length, 9);
  });

  it('case 77: both files keep the order of the input, whatever the order of the answers', async () => {
    const ids = names('line-', 12);
    for (const [index, id] of ids.entries()) {
      upstream.on(`late-${id}`, () => ({ delayMs: (12 - index) * 60, ...(index % 3 === 0 ? { status: 400, body: '{"error":{}}' } : {}) }));
    }
    const batch = await run(ids.map((id) => chatLine(id, `late-${id}`)));
    const { output, errors } = await accountFor(client, batch, ids);
    assert.deepEqual([output.length, errors.length], [8, 4]);
    for (const line of output) assert.match(JSON.stringify(line.response?.body), new RegExp(`"late-${line.custom_id}"`));
  });

  it('case 78: usage is the sum over the lines that succeeded', async () => {
    const details = { prompt_tokens_details: { cached_tokens: 2 }, completion_tokens_details: { reasoning_tokens: 1 } };
    upstream.on('chat-78', () => ({ body: chatAnswer('x', { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, ...details }) }));
    upstream.on('failed-78', () => ({
      status: 400,
      body: chatAnswer('x', { prompt_tokens: 1000, completion_tokens: 1000, total_tokens: 2000 }),
    }));
    upstream.on('none-78', () => ({ body: chatAnswer('x', null) }));
    const chat = await run([chatLine('a', 'chat-78'), chatLine('b', 'chat-78'), chatLine('c', 'failed-78'), chatLine('d', 'none-78')]);
    const usageOf = (input: number, cached: number, output: number, reasoning: number) => ({
      input_tokens: input,
      input_tokens_details: { cached_tokens: cached },
      output_tokens: output,
      output_tokens_details: { reasoning_tokens: reasoning },
      total_tokens: input + output,
    });
    assert.deepEqual(chat.usage, usageOf(20, 4, 10, 2));

    const other = async (endpoint: OpenAI.BatchCreateParams['endpoint'], usage: object) => {
      upstream.on(`usage${endpoint}`, () => ({ body: JSON.stringify({ object: 'x', usage }) }));
      const line = (custom_id: string) =>
        JSON.stringify({
          custom_id,
          method: 'POST',
          url: endpoint,
          body: { model: 'example-model', input: 'x', user: `usage${endpoint}` },
        });
      return (await run([line('a'), line('b')], { endpoint })).usage;
    };
    assert.deepEqual(await other('/v1/responses', usageOf(7, 3, 5, 2)), usageOf(14, 6, 10, 4));
    assert.deepEqual(await other('/v1/embeddings', { prompt_tokens: 6, total_tokens: 6 }), usageOf(12, 0, 0, 0));
    assert.deepEqual((await run([chatLine('a', 'none-78')])).usage, usageOf(0, 0, 0, 0));
  });

  it('case 81: the output file says what it holds', async () => {
    const batch = await run([chatLine('a'), chatLine('b')]);
    const file = await client.files.retrieve(String(batch.output_file_id));
    assert.deepEqual([file.object, file.purpose, file.status], ['file', 'batch_output', 'processed']);
    const content = await send(stack, `/v1/files/${file.id}/content`);
    assert.equal(file.bytes, Buffer.byteLength(content.text));
    assert.equal(content.headers.get('content-length'), String(file.bytes));
  });

  it('case 82: only the configured key goes upstream, and no answer gives it away', async () => {
    upstream.on('leak-82', () => ({
      status: 401,
      body: `{"error":{"message":"Incorrect API key provided: ${KEY}","code":"invalid_api_key"}}`,
    }));
    upstream.on('html-82', () => ({ status: 403, headers: { 'content-type': 'text/html' }, body: `<p>${KEY}</p>` }));
    upstream.on('echo-82', () => ({ status: 200, body: `{"object":"chat.completion","choices":[],"seen":"Bearer ${KEY}"}` }));
    const headers = { authorization: 'Bearer sk-client', 'x-api-key': 'sk-client' };
    const forged = JSON.stringify({ ...JSON.parse(chatLine('forged', 'forged-82')), headers, api_key: 'sk-client' });
    const batch = await run([forged, chatLine('leak', 'leak-82'), chatLine('html', 'html-82'), chatLine('echo', 'echo-82')]);
    assert.deepEqual(batch.request_counts, { total: 4, completed: 2, failed: 2 });
    const [call] = upstream.callsOf('forged-82');
    assert.equal(call?.headers.authorization, `Bearer ${KEY}`);
    assert.doesNotMatch(JSON.stringify([call?.headers, call?.body]), /sk-client|key-a/);
    assert.doesNotMatch((await text(batch.output_file_id)) + (await text(batch.error_file_id)), new RegExp(KEY));
    assert.match(await text(batch.error_file_id), /Incorrect API key provided: \*\*\*/);
    assert.match(await text(batch.output_file_id), /"seen":"Bearer \*\*\*"/);
  });

  it('case 83: the upstream gets the body of the line and nothing else, at its base and the endpoint', async () => {
    const body = '{"user":"body-83", "model":"example-model","messages":[],"n":1.0}';
    await run([`{"custom_id":"one","method":"POST","url":"/v1/chat/completions","body":${body},"extra":1}`]);
    const calls = upstream.callsOf('body-83');
    assert.deepEqual(
      calls.map((call) => [call.method, call.path, call.body]),
      [['POST', '/v1/chat/completions', body]],
    );
  });
});
