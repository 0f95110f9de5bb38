import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { chatLines, ended, resultLines } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

describe('clients that race, through two API processes on one bucket', () => {
  let stack: Stack;
  let clients: [OpenAI, OpenAI];
  let origins: [string, string];
  before(async () => {
    stack = await startStack();
    const other = await stack.startAnotherApi();
    origins = [stack.origin, other.origin];
    clients = [stack.client(), new OpenAI({ baseURL: `${other.origin}/v1`, apiKey: 'key-a' })];
  });
  after(async () => await stack[Symbol.asyncDispose]());

  const upload = async (text: string) =>
    await clients[0].files.create({ file: await toFile(Buffer.from(text), 'x.jsonl'), purpose: 'batch' });
  const ask = (input_file_id: string, metadata: Record<string, string> | null = null) => ({
    input_file_id,
    endpoint: '/v1/chat/completions' as const,
    completion_window: '24h' as const,
    metadata,
  });
  /** A create as a client sends it that sends again what got no answer. */
  const create = async (origin: string, body: object, headers: Record<string, string>): Promise<{ status: number; id: string }> => {
    const answer = await fetch(`${origin}/v1/batches`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { authorization: 'Bearer key-a', ...headers },
    });
    const { id } = Object(await answer.json());
    return { status: answer.status, id };
  };
  const madeWith = async (test: string) => {
    const ids: string[] = [];
    for await (const batch of clients[1].batches.list({ limit: 100 })) if (batch.metadata?.['test'] === test) ids.push(batch.id);
    return ids;
  };

  it('make a batch of a file while they delete it: it runs whole or fails, and never hangs', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const file = await upload(chatLines(20));
        // The deletion comes before, with or after the create, and while it is validated.
        const late = index % 4;
        const [batch] = await Promise.all([
          clients[index % 2 === 0 ? 0 : 1].batches.create(ask(file.id)),
          (async () => {
            for (let i = 0; i < late; i += 1) await clients[1].files.retrieve(file.id);
            await clients[1].files.delete(file.id);
          })(),
        ]);
        await assert.rejects(clients[0].files.retrieve(file.id), OpenAI.NotFoundError);
        return await ended(clients[0], batch.id, 120);
      }),
    );
    for (const batch of outcomes) {
      if (batch.status === 'completed') {
        assert.deepEqual(batch.request_counts, { total: 20, completed: 20, failed: 0 });
        assert.equal((await resultLines(clients[1], batch.output_file_id)).length, 20);
        continue;
      }
      assert.equal(batch.status, 'failed');
      assert.match(batch.errors?.data?.[0]?.message ?? '', /^Cannot find file /);
    }
  });

  it('repeat a create under one key, all at once: one batch', async () => {
    const body = ask((await upload(chatLines(1))).id, { test: 'key' });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => await create(origins[index % 2 === 0 ? 0 : 1], body, { 'idempotency-key': 'race' })),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    assert.deepEqual(await madeWith('key'), [...new Set(answers.map(({ id }) => id))]);
  });

  it('retry as the SDK does, all at once and at another process, after an answer that was lost: one batch', async () => {
    const body = ask((await upload(chatLines(1))).id, { test: 'retry' });
    await create(origins[0], body, {});
    const answers = await Promise.all(
      Array.from(
        { length: 10 },
        async (_, index) => await create(origins[1], body, { 'x-stainless-retry-count': String(1 + (index % 2)) }),
      ),
    );
    assert.deepEqual(await madeWith('retry'), [...new Set(answers.map(({ id }) => id))]);
  });

  it('retry as the SDK does where the first try never arrived: one batch', async () => {
    const body = ask((await upload(chatLines(1))).id, { test: 'first lost' });
    const answers = await Promise.all(
      Array.from(
        { length: 10 },
        async (_, index) => await create(origins[index % 2 === 0 ? 0 : 1], body, { 'x-stainless-retry-count': '1' }),
      ),
    );
    assert.deepEqual(await madeWith('first lost'), [...new Set(answers.map(({ id }) => id))]);
  });

  it('make fifty batches of a file that was uploaded a moment ago: fifty, each in the list once, and all find the file', async () => {
    // Its second line ends a batch that has found it.
    const file = await upload(`${chatLines(1)}{}\n`);
    const made = await Promise.all(
      Array.from(
        { length: 50 },
        async (_, index) => await clients[index % 2 === 0 ? 0 : 1].batches.create(ask(file.id, { test: 'fifty' })),
      ),
    );
    const ids = made.map(({ id }) => id);
    assert.equal(new Set(ids).size, 50);
    assert.deepEqual((await madeWith('fifty')).sort(), ids.toSorted());
    for (const id of ids) {
      const { status, errors } = await ended(clients[0], id, 240);
      assert.deepEqual([status, errors?.data?.[0]?.line], ['failed', 2]);
    }
  });
});
