import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import type OpenAI from 'openai';
import { chatLine, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';

/** Names that clients choose go through bucket and Temporal; none of them may keep a batch from its end. */
let stack: Stack;
let client: OpenAI;
let connection: Connection;
before(async () => {
  stack = await startStack();
  client = stack.client();
  connection = await Connection.connect({ address: stack.temporal.address });
});
after(async () => {
  await connection.close();
  await stack[Symbol.asyncDispose]();
});

describe('a model whose name is longer than Temporal takes', () => {
  const model = 'm'.repeat(3_000);
  const line = (customId: string, script?: string): string => {
    const request = JSON.parse(chatLine(customId, script));
    return JSON.stringify({ ...request, body: { ...request.body, model } });
  };

  it('makes a batch that completes, is found by the name that is shown, and has the whole one in its record', async () => {
    const batch = await ended(client, (await submit(client, line('one'))).id);
    assert.deepEqual([batch.status, batch.model], ['completed', model]);
    assert.equal((await resultLines(client, batch.output_file_id)).length, 1);
    const query = `BatchModel = '${model.slice(0, 255)}'`;
    const runs = new Client({ connection }).workflow;
    await until(async () => (await runs.count(query)).count === 1, { what: 'the batch to be found by its model' });
    assert.equal((await runs.getHandle(batch.id).describe()).status.name, 'COMPLETED');
  });

  it('makes a batch that can be cancelled', async () => {
    const { id } = await submit(client, line('slow', 'delay=60000'));
    await until(async () => (await client.batches.retrieve(id)).status === 'in_progress', { what: 'the batch to be in progress' });
    await client.batches.cancel(id);
    assert.equal((await ended(client, id)).status, 'cancelled');
  });
});

describe('an input_file_id that is none', () => {
  const ids = ['../../x', '.', '/', 'a//b', 'a\0b', 'a\nb', 'x'.repeat(300), '\u00e9'.repeat(512), '\ud800'];
  for (const input_file_id of ids) {
    it(`fails the batch as not found: ${JSON.stringify(input_file_id.slice(0, 20))}`, async () => {
      const { id } = await client.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' });
      const batch = await ended(client, id, 60);
      const [error, ...others] = batch.errors?.data ?? [];
      assert.deepEqual([batch.status, error?.code, error?.param, others], ['failed', 'invalid_request', 'file_id', []]);
      assert.equal(error?.message, `Cannot find file ${input_file_id}, or organization does not have access to it.`);
    });
  }
});
