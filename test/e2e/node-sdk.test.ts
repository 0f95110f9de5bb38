import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import OpenAI, { toFile } from 'openai';
import { chatLine, chatLines, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

const FIRST_BATCH = fileURLToPath(new URL('../../examples/first-batch.jsonl', import.meta.url));

describe('the official Node SDK, unmodified', () => {
  let stack: Stack;
  let client: OpenAI;
  before(async () => {
    stack = await startStack({ env: { NIGHTSHIFT_COMPLETION_WINDOWS: '24h,10s' } });
    client = stack.client();
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('runs the example batch: upload, create, poll, download, parse', async () => {
    const file = await client.files.create({ file: createReadStream(FIRST_BATCH), purpose: 'batch' });
    assert.equal(file.filename, 'first-batch.jsonl');
    const created = await client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { team: 'docs' },
    });
    assert.equal(created.status, 'validating');
    assert.equal(created.expires_at, created.created_at + 86_400);
    assert.deepEqual(created.metadata, { team: 'docs' });

    const seen: string[] = [created.status];
    let counts = { total: 0, completed: 0, failed: 0 };
    const batch = await until(
      async () => {
        const now = await client.batches.retrieve(created.id);
        if (seen.at(-1) !== now.status) seen.push(now.status);
        const next = now.request_counts ?? counts;
        assert.ok(next.completed >= counts.completed && next.failed >= counts.failed, 'counts never step back');
        assert.ok(next.completed + next.failed <= next.total || next.total === 0, 'counts never exceed the total');
        counts = next;
        return now.status === 'completed' ? now : null;
      },
      { what: 'the batch to complete' },
    );
    const legal = ['validating', 'in_progress', 'finalizing', 'completed'];
    assert.deepEqual(
      seen,
      legal.filter((status) => seen.includes(status)),
    );
    assert.deepEqual(batch.request_counts, { total: 40, completed: 39, failed: 1 });
    assert.equal(batch.model, 'example-model');
    assert.ok((batch.usage?.total_tokens ?? 0) > 0);

    const output = await resultLines(client, batch.output_file_id);
    const errors = await resultLines(client, batch.error_file_id);
    assert.equal(output.length, 39);
    assert.equal(errors.length, 1);
    assert.equal(errors[0]?.response?.status_code, 400);
    assert.equal(errors[0]?.error, null);
    const input = await (await client.files.content(file.id)).text();
    const wanted = input
      .trim()
      .split('\n')
      .map((line): string => JSON.parse(line).custom_id);
    assert.deepEqual(
      output.map((line) => line.custom_id),
      wanted.filter((id) => id !== errors[0]?.custom_id),
      'in the order of the input',
    );
    for (const line of output) {
      assert.match(line.id, /^batch_req_[0-9a-f]{32}$/);
      const body: OpenAI.ChatCompletion = Object(line.response?.body);
      assert.equal(typeof body.choices[0]?.message.content, 'string');
    }
    const outputFile = await client.files.retrieve(String(batch.output_file_id));
    assert.equal(outputFile.purpose, 'batch_output');
    assert.equal(outputFile.bytes, (await (await client.files.content(outputFile.id)).arrayBuffer()).byteLength);
  });

  it('ends a batch with a faulty line as failed, naming the line, and calls nobody', async () => {
    const before = await stack.upstream.calls();
    const batch = await ended(client, (await submit(client, `${chatLine('a')}\n{"custom_id": "b"}\n{nonsense\n`)).id);
    assert.equal(batch.status, 'failed');
    assert.deepEqual(
      batch.errors?.data?.map(({ code, line, param }) => ({ code, line, param })),
      [
        { code: 'missing_required_parameter', line: 2, param: 'method' },
        { code: 'missing_required_parameter', line: 2, param: 'url' },
        { code: 'missing_required_parameter', line: 2, param: 'body' },
        { code: 'invalid_json_line', line: 3, param: null },
      ],
    );
    assert.equal(batch.in_progress_at, null);
    assert.deepEqual(batch.request_counts, { total: 0, completed: 0, failed: 0 });
    assert.deepEqual(await stack.upstream.calls(), before);
  });

  it('keeps failed lines apart and completes the batch', async () => {
    const text = [
      chatLine('good'),
      chatLine('bad', 'marker=bad; status=400'),
      chatLine('flaky', 'marker=flaky; status=500,200'),
      chatLine('broken', 'marker=broken; mode=malformed'),
    ].join('\n');
    const batch = await ended(client, (await submit(client, text)).id, 90);
    assert.equal(batch.status, 'completed');
    assert.deepEqual(batch.request_counts, { total: 4, completed: 2, failed: 2 });
    assert.deepEqual(
      (await resultLines(client, batch.output_file_id)).map((line) => line.custom_id),
      ['good', 'flaky'],
    );
    const errors = await resultLines(client, batch.error_file_id);
    assert.deepEqual(
      errors.map((line) => [line.custom_id, line.response?.status_code ?? null, line.error?.code ?? null]),
      [
        ['bad', 400, null],
        ['broken', null, 'invalid_response'],
      ],
    );
    const calls = await stack.upstream.calls();
    assert.equal(calls['bad'], 1);
    assert.equal(calls['flaky'], 2);
    assert.equal(calls['broken'], 5, 'the fifth fault is the outcome');
  });

  it('cancels: what is done stays, the rest is batch_cancelled, every custom_id once', async () => {
    // Lines come in any order: those that answer need a place beside all that hang.
    await stack.worker.stop();
    await stack.startWorker(undefined, { NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed', NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '64' });
    const lines = ['quick-1', 'quick-2'].map((id) => chatLine(id));
    for (let index = 1; index <= 60; index += 1) lines.push(chatLine(`slow-${index}`, 'mode=hang'));
    const created = await submit(client, lines.join('\n'));
    await until(async () => ((await client.batches.retrieve(created.id)).request_counts?.completed ?? 0) >= 2, { what: 'two answers' });
    const cancelling = await client.batches.cancel(created.id);
    assert.equal(cancelling.status, 'cancelling');
    assert.equal(cancelling.output_file_id, null);
    const batch = await ended(client, created.id);
    assert.equal(batch.status, 'cancelled');
    assert.equal(batch.finalizing_at, null);
    assert.deepEqual(batch.request_counts, { total: 62, completed: 2, failed: 0 });
    const output = await resultLines(client, batch.output_file_id);
    const errors = await resultLines(client, batch.error_file_id);
    assert.deepEqual(
      output.map((line) => line.custom_id),
      ['quick-1', 'quick-2'],
    );
    assert.equal(errors.length, 60);
    for (const line of errors) {
      assert.equal(line.response, null);
      assert.deepEqual(line.error, { code: 'batch_cancelled', message: 'This request was not executed because the batch was cancelled.' });
    }
    const again = await client.batches.cancel(created.id);
    assert.deepEqual(again, batch);
    const done = await ended(client, (await submit(client, chatLines(1))).id);
    await assert.rejects(client.batches.cancel(done.id), (error) => {
      assert.ok(error instanceof OpenAI.ConflictError);
      assert.match(error.message, /Cannot cancel a batch with status 'completed'\./);
      return true;
    });
  });

  it('expires at the end of the window with what is done', async () => {
    const lines = [chatLine('quick'), ...Array.from({ length: 9 }, (_, index) => chatLine(`slow-${index}`, 'mode=hang'))];
    const created = await submit(client, lines.join('\n'), Object({ completion_window: '10s' }));
    assert.equal(created.expires_at, created.created_at + 10);
    const batch = await ended(client, created.id);
    assert.equal(batch.status, 'expired');
    assert.equal(batch.completed_at, null);
    assert.equal(batch.finalizing_at, null);
    assert.deepEqual(batch.request_counts, { total: 10, completed: 1, failed: 0 });
    const errors = await resultLines(client, batch.error_file_id);
    assert.equal(errors.length, 9);
    assert.deepEqual(errors[0]?.error, {
      code: 'batch_expired',
      message: 'This request could not be executed before the completion window expired.',
    });
  });

  it('cannot find a file of another tenant, and says so in the batch', async () => {
    const file = await stack.client('key-b').files.create({ file: await toFile(Buffer.from(chatLines(1)), 'x.jsonl'), purpose: 'batch' });
    await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);
    const created = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    const batch = await ended(client, created.id);
    assert.equal(batch.status, 'failed');
    assert.deepEqual(batch.errors?.data, [
      {
        code: 'invalid_request',
        line: null,
        param: 'file_id',
        message: `Cannot find file ${file.id}, or organization does not have access to it.`,
      },
    ]);
  });

  it('pages through batches and files, newest first', async () => {
    const other = stack.client('key-b');
    const made: string[] = [];
    for (let index = 0; index < 5; index += 1) made.push((await submit(other, chatLines(1))).id);
    const listed: string[] = [];
    for await (const batch of other.batches.list({ limit: 2 })) listed.push(batch.id);
    assert.deepEqual(listed, made.toReversed());
    for (const id of made) await ended(other, id);
  });

  it('sends the body bytes of every line as they are', async () => {
    const body =
      '{"model":"example-model", "messages":[{"role":"user","content":"x"}],"seed":9223372036854775807,"x":1.0,"__proto__":{"a":1},"user":"marker=bytes"}';
    const batch = await ended(
      client,
      (await submit(client, `{"custom_id":"bytes","method":"POST","url":"/v1/chat/completions","body":${body}}`)).id,
    );
    assert.equal(batch.status, 'completed');
    const received = Object(await (await fetch(`${stack.upstream.url}/__received`)).json());
    assert.deepEqual(
      received.bytes.map((call: { body: string }) => call.body),
      [body],
    );
  });

  it('answers every endpoint it names', async () => {
    const inputs: [OpenAI.BatchCreateParams['endpoint'], object][] = [
      ['/v1/completions', { prompt: 'Once' }],
      ['/v1/embeddings', { input: ['a', 'b'] }],
      ['/v1/responses', { input: 'Hello' }],
      ['/v1/moderations', { input: 'Hello' }],
    ];
    for (const [endpoint, body] of inputs) {
      const line = JSON.stringify({ custom_id: 'one', method: 'POST', url: endpoint, body: { model: 'example-model', ...body } });
      const batch = await ended(client, (await submit(client, line, { endpoint })).id);
      assert.equal(batch.status, 'completed', endpoint);
      assert.equal((await resultLines(client, batch.output_file_id))[0]?.response?.status_code, 200);
    }
  });
});
