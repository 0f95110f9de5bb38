import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { bareEnvironment } from '../helpers/environment.ts';
import { chatLine, chatLines, ended, submit } from '../helpers/lines.ts';
import { pythonWithSdk } from '../helpers/python.ts';
import { freePort } from '../helpers/servers.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { type ReceivedWebhook, startWebhookReceiver, type WebhookReceiver } from '../helpers/webhook-receiver.ts';

const UNWRAP = fileURLToPath(new URL('python/unwrap.py', import.meta.url));
const EXAMPLE = fileURLToPath(new URL('../../examples/python/webhooks.py', import.meta.url));
const ALL_TYPES = ['batch.cancelled', 'batch.completed', 'batch.expired', 'batch.failed'] as const;

describe('J. Webhooks', () => {
  let stack: Stack;
  let client: OpenAI;
  let receiver: WebhookReceiver;
  before(async () => {
    receiver = await startWebhookReceiver();
    stack = await startStack({ env: { NIGHTSHIFT_WEBHOOK_ALLOW_PRIVATE: 'true' } });
    client = stack.client();
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await receiver[Symbol.asyncDispose]();
  });

  const create = async (eventTypes: readonly (typeof ALL_TYPES)[number][] = ALL_TYPES, url = receiver.url) =>
    await client.webhooks.create({ name: 'tests', url, event_types: [...eventTypes] });
  const headersOf = ({ headers }: ReceivedWebhook) => headers as Record<string, string>;
  const unwrap = async (received: ReceivedWebhook, secret: string) =>
    await client.webhooks.unwrap(received.body, headersOf(received), secret);
  const about = (id: string) => receiver.received.filter(({ body }) => body.includes(id));
  const firstAbout = async (id: string) => await until(() => about(id)[0] ?? null, { what: `a webhook about ${id}`, seconds: 60 });

  it('case 107: each end of a batch is told once, and both SDKs unwrap it and notice a changed body', async () => {
    const { id: endpoint, signing_secret: secret } = await create();
    const running = await submit(client, chatLine('slow', 'delay=60000'));
    const completed = await submit(client, chatLines(3));
    const failed = await submit(client, `${chatLine('same')}\n${chatLine('same')}\n`);
    const expired = await submit(client, chatLine('late', 'delay=60000'), { completion_window: '4s' as '24h' });
    await until(async () => (await client.batches.retrieve(running.id)).status === 'in_progress', { what: 'the slow batch to run' });
    await client.batches.cancel(running.id);
    for (const [{ id }, type] of [
      [completed, 'batch.completed'],
      [failed, 'batch.failed'],
      [expired, 'batch.expired'],
      [running, 'batch.cancelled'],
    ] as const) {
      const received = await firstAbout(id);
      const event = await unwrap(received, secret);
      assert.partialDeepStrictEqual(event, { object: 'event', type, data: { id } });
      assert.match(event.id, /^evt_[0-9a-f]{32}$/);
      assert.equal((await client.batches.retrieve(id)).status, type.slice('batch.'.length));
      const changed = { ...received, body: `${received.body} ` };
      await assert.rejects(unwrap(changed, secret), OpenAI.InvalidWebhookSignatureError);
      const input = JSON.stringify({ ...received, secret });
      assert.deepEqual(JSON.parse(execFileSync(await pythonWithSdk(), [UNWRAP], { input, encoding: 'utf8' })), { type, id });
    }
    await ended(client, completed.id);
    for (const { id } of [completed, failed, expired, running]) assert.equal(about(id).length, 1);
    await client.webhooks.delete(endpoint);
  });

  it('case 108: a delivery that is refused is repeated under its id with a signature of its own, until a 2xx', async () => {
    const { id: endpoint, signing_secret: secret } = await create(['batch.completed']);
    receiver.statuses = [500, 302];
    const { id } = await submit(client, chatLines(1));
    const tries = await until(() => (about(id).length === 3 ? about(id) : null), { what: 'the third try', seconds: 90, everyMs: 200 });
    assert.equal(new Set(tries.map(({ headers }) => headers['webhook-id'])).size, 1);
    assert.equal(new Set(tries.map(({ headers }) => headers['webhook-timestamp'])).size, 3);
    assert.equal(new Set(tries.map(({ headers }) => headers['webhook-signature'])).size, 3);
    for (const each of tries) assert.equal((await unwrap(each, secret)).type, 'batch.completed');
    await client.webhooks.delete(endpoint);
  });

  it('case 109: after a rotation that keeps the old secret both secrets verify', async () => {
    const { id: endpoint, signing_secret: old } = await create(['batch.completed']);
    const { signing_secret: fresh } = await client.webhooks.rotateSecret(endpoint, { keep_old_secret_active_for_24_hours: true });
    const { id } = await submit(client, chatLines(1));
    const received = await firstAbout(id);
    assert.equal(headersOf(received)['webhook-signature']?.split(' ').length, 2);
    for (const secret of [old, fresh]) assert.equal((await unwrap(received, secret)).type, 'batch.completed');
    await client.webhooks.delete(endpoint);
  });

  it('case 110: this machine and metadata services are refused unless the operator opens them', async () => {
    const closed = await stack.startAnotherApi({ NIGHTSHIFT_WEBHOOK_ALLOW_PRIVATE: 'false' });
    const careful = new OpenAI({ baseURL: `${closed.origin}/v1`, apiKey: 'key-a', maxRetries: 0 });
    for (const url of [
      receiver.url,
      'https://127.0.0.1/',
      'http://169.254.169.254/latest/meta-data/',
      'https://[::1]/',
      'https://localhost/',
    ])
      await assert.rejects(careful.webhooks.create({ name: 'x', url, event_types: ['batch.failed'] }), OpenAI.BadRequestError);
  });

  it('examples/python/webhooks.py prints how a batch ended, and deletes its endpoint when it is interrupted', async () => {
    const port = await freePort();
    const env = bareEnvironment({ NIGHTSHIFT_BASE_URL: stack.baseURL, NIGHTSHIFT_API_KEY: 'key-a' });
    const example = spawn(await pythonWithSdk(), [EXAMPLE, `http://127.0.0.1:${port}/hooks`, String(port)], { env });
    let output = '';
    for (const stream of [example.stdout, example.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const closed = once(example, 'close');
    const writes = async (line: RegExp) =>
      await until(
        () => {
          if (example.exitCode !== null) throw new Error(output);
          return line.test(output);
        },
        { what: `the example to write ${line}`, seconds: 60 },
      );
    try {
      await writes(/^listening$/m);
      const { id } = await submit(client, chatLines(1));
      await writes(new RegExp(`^${id} completed file-`, 'm'));
      example.kill('SIGINT');
      await closed;
      assert.deepEqual([example.exitCode, (await client.webhooks.list()).data], [0, []], output);
    } finally {
      example.kill('SIGKILL');
    }
  });
});
