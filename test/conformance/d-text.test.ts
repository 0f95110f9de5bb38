import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { chatLine, chatLines, ended, resultLines } from '../helpers/lines.ts';
import { until } from '../helpers/until.ts';
import { bucketOf } from './bucket.ts';
import { failedErrors, jsonl, placeOf, requestLine, submitBytes } from './input.ts';
import { peakBytes } from './memory.ts';
import { startTwoUpstreams, type TwoUpstreams } from './two-upstreams.ts';
import { assertEnvelope, upload } from './wire.ts';

const LARGE_BYTES = 50_000_000;

describe('D. Validation: the text of the input file', () => {
  let servers: TwoUpstreams;
  let client: OpenAI;
  before(async () => {
    servers = await startTwoUpstreams();
    client = servers.stack.client();
  });
  after(async () => await servers[Symbol.asyncDispose]());

  /** Runs the content to its end; answers the batch and the custom_ids of its output. */
  async function completed(content: Buffer | string, seconds = 120): Promise<{ batch: OpenAI.Batch; ids: string[] }> {
    const batch = await ended(client, (await submitBytes(client, content)).id, seconds);
    assert.equal(batch.status, 'completed', JSON.stringify(batch.errors));
    return { batch, ids: (await resultLines(client, batch.output_file_id)).map((line) => line.custom_id) };
  }

  /** The bytes of the only body that came upstream with this marker. */
  function bodyOf(marker: string): Buffer {
    const [received, ...more] = servers.upstream.calls.get(marker) ?? [];
    assert.equal(more.length, 0);
    assert.ok(received !== undefined, `nothing came upstream for ${marker}`);
    return received.body;
  }

  it('case 57: a byte order mark changes nothing', async () => {
    assert.deepEqual((await completed(`\ufeff${chatLines(3)}`)).ids, (await completed(chatLines(3))).ids);
    const errors = await failedErrors(client, await submitBytes(client, `\ufeff${chatLine('a')}\n{"custom_id":"b"\n`));
    assert.deepEqual(errors.map(placeOf), [{ code: 'invalid_json_line', line: 2, param: null }]);
  });

  it('case 58: CRLF is as good as LF', async () => {
    const { ids } = await completed(chatLines(3).replaceAll('\n', '\r\n'));
    assert.deepEqual(ids, ['line-1', 'line-2', 'line-3']);
  });

  it('case 59: blank lines are no requests, but they count for line numbers', async () => {
    const { batch, ids } = await completed(`${chatLine('a')}\n\n \t\n${chatLine('b')}\n\r\n${chatLine('c')}\n\n\n`);
    assert.deepEqual(batch.request_counts, { total: 3, completed: 3, failed: 0 });
    assert.deepEqual(ids, ['a', 'b', 'c']);
    const errors = await failedErrors(client, await submitBytes(client, `${chatLine('a')}\n\n\n{bad\n`));
    assert.deepEqual(errors.map(placeOf), [{ code: 'invalid_json_line', line: 4, param: null }]);
  });

  it('case 60: a last line without a line break is a line', async () => {
    assert.deepEqual((await completed(chatLines(3).trimEnd())).ids, ['line-1', 'line-2', 'line-3']);
  });

  it('case 61: a file of blank lines is refused at upload, and as empty_file where it reaches validation', async () => {
    const blank = ' \n\t\r\n\n';
    const callsBefore = servers.upstream.stats.requests;
    assertEnvelope(await upload(servers.stack, { purpose: 'batch' }, blank), 400);
    // Only the bucket can bring it about: the content is exchanged under the record.
    const reply = await upload(servers.stack, { purpose: 'batch' }, '{ }'.padEnd(blank.length, '\n'));
    const { id }: { id: string } = JSON.parse(reply.text);
    await bucketOf(servers.stack).write(`content/tenant-a/${id}`, blank);
    const created = await client.batches.create({ input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    assert.deepEqual(await failedErrors(client, created), [
      {
        code: 'empty_file',
        message: 'The input file is empty. Please ensure that the batch contains at least one request.',
        param: null,
        line: null,
      },
    ]);
    assert.equal(servers.upstream.stats.requests, callsBefore);
  });

  it('case 62: separators inside a string are no line breaks, and go upstream as they are', async () => {
    const body = '{"model":"example-model","messages":[{"role":"user","content":"a\u2028b\u0085c\u2029d\\ne"}],"user":"marker=case-62"}';
    const { batch } = await completed(`{"custom_id":"one","method":"POST","url":"/v1/chat/completions","body":${body}}\n`);
    assert.deepEqual(batch.request_counts, { total: 1, completed: 1, failed: 0 });
    assert.equal(bodyOf('case-62').toString(), body);
  });

  it('case 63: an emoji across any 64 KiB boundary arrives whole', async () => {
    // Four lines, in which the emoji stand at all four offsets, so that one is cut at every boundary wherever reads begin.
    const bodies = [0, 1, 2, 3].map((shift) => {
      const content = 'x'.repeat(shift) + '😀'.repeat(80_000);
      return `{"model":"example-model","messages":[{"role":"user","content":"${content}"}],"user":"marker=case-63-${shift}"}`;
    });
    const lines = bodies.map((body, index) => `{"custom_id":"${index}","method":"POST","url":"/v1/chat/completions","body":${body}}`);
    await completed(jsonl(lines));
    for (const [shift, body] of bodies.entries()) assert.ok(bodyOf(`case-63-${shift}`).equals(Buffer.from(body)), `shift ${shift}`);
  });

  it('case 64: a byte that is no UTF-8 makes its line no JSON', async () => {
    const callsBefore = servers.upstream.stats.requests;
    const lines = chatLines(6)
      .trimEnd()
      .split('\n')
      .map((line) => Buffer.from(`${line}\n`));
    const fifth = lines[4] ?? Buffer.alloc(0);
    fifth[fifth.indexOf('Say')] = 0xff;
    const errors = await failedErrors(client, await submitBytes(client, Buffer.concat(lines)));
    assert.deepEqual(errors.map(placeOf), [{ code: 'invalid_json_line', line: 5, param: null }]);
    assert.equal(servers.upstream.stats.requests, callsBefore);
  });

  it('case 65: numbers, repeated keys and __proto__ go upstream byte for byte', async () => {
    const body =
      '{ "model":"example-model","messages":[{"role":"user","content":"\\u00e9"}],"seed":9223372036854775807,"x":1.0,"x":1e400,"__proto__":{"a":1},"user":"marker=case-65" }';
    await completed(`{"body":${body} ,"url":"/v1/chat/completions","method":"POST","custom_id":"one","extra":{"body":1}}`);
    assert.equal(bodyOf('case-65').toString(), body);
  });

  it('case 66: a line of 50 MB among small ones is processed with bounded memory', async () => {
    const image = `data:image/png;base64,${'A'.repeat(LARGE_BYTES)}`;
    const content = [{ type: 'image_url', image_url: { url: image } }];
    const large = requestLine('large', {}, { messages: [{ role: 'user', content }], user: 'marker=case-66' });
    const { api, worker } = servers.stack;
    const [apiBefore, workerBefore] = [await peakBytes(api.child.pid), await peakBytes(worker.child.pid)];
    const { ids } = await completed(jsonl([chatLine('first'), large, ...chatLines(50).trimEnd().split('\n')]), 180);
    assert.equal(ids.length, 52);
    assert.equal(ids[1], 'large');
    assert.ok(bodyOf('case-66').equals(Buffer.from(JSON.stringify(large['body']))));
    // The API passes the line through in parts; the worker holds it, once to check it and once to send it.
    const [apiTook, workerTook] = [(await peakBytes(api.child.pid)) - apiBefore, (await peakBytes(worker.child.pid)) - workerBefore];
    assert.ok(apiTook < 2 * LARGE_BYTES, `the API took ${apiTook} bytes more`);
    assert.ok(workerTook < 7 * LARGE_BYTES, `the worker took ${workerTook} bytes more`);
  });

  it('case 67: an input file that is deleted early fails the batch or harms it not, later it harms nothing', async () => {
    const early = await submitBytes(client, chatLines(5));
    await client.files.delete(early.input_file_id);
    const batch = await ended(client, early.id);
    if (batch.status === 'failed')
      assert.deepEqual(batch.errors?.data?.map(placeOf), [{ code: 'invalid_request', line: null, param: 'file_id' }]);
    else assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: 5, completed: 5, failed: 0 }]);

    const late = await submitBytes(client, jsonl(Array.from({ length: 20 }, (_, index) => chatLine(`slow-${index}`, 'delay=5000'))));
    await until(async () => (await client.batches.retrieve(late.id)).in_progress_at !== null, { what: 'the batch to run' });
    await client.files.delete(late.input_file_id);
    const { status, request_counts } = await ended(client, late.id);
    assert.deepEqual([status, request_counts], ['completed', { total: 20, completed: 20, failed: 0 }]);
  });
});
