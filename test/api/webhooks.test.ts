import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { createWebhooks } from '../../src/webhooks/webhooks.ts';
import { type ReceivedWebhook, startWebhookReceiver } from '../helpers/webhook-receiver.ts';
import { envelopeOf, startWholeTestApi, type TestApi } from './test-api.ts';

let api: TestApi;
let client: OpenAI;
before(async () => {
  api = await startWholeTestApi();
  client = api.client();
});
after(async () => await api[Symbol.asyncDispose]());

const create = async (url = 'https://example.com/hooks', as = client) =>
  await as.webhooks.create({ name: 'night', url, event_types: ['batch.completed', 'batch.failed'] });
const unwrap = async ({ body, headers }: ReceivedWebhook, secret: string) =>
  await client.webhooks.unwrap(body, headers as Record<string, string>, secret);

describe('webhook endpoints', () => {
  it('are made, read, listed, changed and deleted by the SDK, and the secret is shown once', async () => {
    const made = await create();
    assert.match(made.id, /^whe_[0-9a-f]{32}$/);
    assert.match(made.signing_secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    const { signing_secret, ...shown } = made;
    assert.equal(shown.signing_secret_hint, `whsec_…${signing_secret.slice(-4)}`);
    assert.deepEqual(await client.webhooks.retrieve(made.id), shown);
    assert.deepEqual((await client.webhooks.list({ limit: 1 })).data, [shown]);
    const second = await create();
    const ids = [];
    for await (const { id } of client.webhooks.list({ limit: 1 })) ids.push(id);
    assert.deepEqual(ids, [second.id, made.id]);
    const changed = await client.webhooks.update(made.id, { name: 'day', event_types: ['batch.expired'] });
    assert.deepEqual([changed.name, changed.url, changed.event_types], ['day', made.url, ['batch.expired']]);
    assert.deepEqual(await client.webhooks.delete(made.id), { id: made.id, object: 'webhook_endpoint.deleted', deleted: true });
    await assert.rejects(client.webhooks.retrieve(made.id), OpenAI.NotFoundError);
    assert.deepEqual((await client.webhooks.eventTypes.list()).data, [
      'batch.cancelled',
      'batch.completed',
      'batch.expired',
      'batch.failed',
    ]);
  });

  it('belong to their tenant, and their secrets do not lie in the bucket in plain', async () => {
    const { id, signing_secret } = await create();
    const other = api.client('key-b');
    await assert.rejects(other.webhooks.retrieve(id), OpenAI.NotFoundError);
    await assert.rejects(other.webhooks.update(id, { name: 'x' }), OpenAI.NotFoundError);
    await assert.rejects(other.webhooks.rotateSecret(id, {}), OpenAI.NotFoundError);
    await assert.rejects(other.webhooks.delete(id), OpenAI.NotFoundError);
    const stored = (await api.store.get(`webhooks/tenant-a/${id}`))?.body.toString() ?? '';
    assert.ok(stored.includes(id) && !stored.includes(signing_secret) && !stored.includes(signing_secret.slice(6, 40)));
  });

  it('are refused with what is wrong', async () => {
    await using closed = await startWholeTestApi({ webhookSigner: createWebhooks({ key: 'k', allowPrivate: false, nowMs: Date.now }) });
    const post = async (body: object) =>
      await closed.fetch('/v1/webhook_endpoints', {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });
    const good = { name: 'a', url: 'https://example.com/', event_types: ['batch.failed'] };
    for (const [body, param, code] of [
      [{ ...good, name: undefined }, 'name', 'missing_required_parameter'],
      [{ ...good, name: '' }, 'name', 'empty_string'],
      [{ ...good, name: 'x'.repeat(257) }, 'name', 'string_above_max_length'],
      [{ ...good, url: 7 }, 'url', 'invalid_type'],
      [{ ...good, url: 'http://127.0.0.1:8080/' }, 'url', 'invalid_url'],
      [{ ...good, url: 'https://169.254.169.254/' }, 'url', 'invalid_url'],
      [{ ...good, url: 'http://example.com/' }, 'url', 'invalid_url'],
      [{ ...good, event_types: [] }, 'event_types', 'empty_array'],
      [{ ...good, event_types: 'batch.failed' }, 'event_types', 'invalid_type'],
      [{ ...good, event_types: ['batch.failed', 'response.completed'] }, 'event_types[1]', 'invalid_value'],
      [{ ...good, secret: 'mine' }, 'secret', 'unknown_parameter'],
    ] as const) {
      const answer = await post(body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      assert.partialDeepStrictEqual(await envelopeOf(answer), { param, code });
    }
    for (let made = 0; made < 20; made++) assert.equal((await post(good)).status, 200);
    assert.equal((await envelopeOf(await post(good))).code, 'too_many_webhook_endpoints');
    await using off = await startWholeTestApi({ webhookSigner: null });
    await assert.rejects(create(undefined, off.client()), /NIGHTSHIFT_WEBHOOK_KEY/);
  });
});

describe('POST /v1/webhook_endpoints/{id}/test', () => {
  it('sends a signed event that the SDK unwraps, and nothing that was changed on the way', async () => {
    await using receiver = await startWebhookReceiver();
    const { id, signing_secret } = await create(receiver.url);
    const tested = await client.webhooks.test(id, { event_type: 'batch.expired' });
    assert.deepEqual(
      { ...tested },
      { object: 'webhook_endpoint.test', event_type: 'batch.expired', status_code: 200, success: true, webhook_endpoint_id: id },
    );
    const [received] = receiver.received;
    assert.ok(received !== undefined);
    const event = await unwrap(received, signing_secret);
    assert.equal(event.type, 'batch.expired');
    assert.equal(received.headers['webhook-id'], event.id);
    await assert.rejects(unwrap({ ...received, body: `${received.body} ` }, signing_secret), OpenAI.InvalidWebhookSignatureError);
  });

  it('says what the receiver did wrong; a redirect is not followed', async () => {
    await using receiver = await startWebhookReceiver();
    const { id } = await create(receiver.url);
    for (const status of [500, 302, 404]) {
      receiver.statuses = [status];
      await assert.rejects(client.webhooks.test(id, { event_type: 'batch.failed' }), new RegExp(`status ${status}`));
    }
    assert.equal(receiver.received.length, 3);
    await receiver[Symbol.asyncDispose]();
    await assert.rejects(client.webhooks.test(id, { event_type: 'batch.failed' }), /ECONNREFUSED/);
    await assert.rejects(client.webhooks.test(id, { event_type: 'response.completed' }), /Supported values/);
  });
});

describe('POST /v1/webhook_endpoints/{id}/rotate_secret', () => {
  it('signs with both secrets for 24 hours where the old one is kept, and with the new one alone otherwise', async () => {
    await using receiver = await startWebhookReceiver();
    await using moving = await startWholeTestApi();
    const shifted = createWebhooks({ key: 'test', allowPrivate: true, nowMs: () => moving.nowSeconds() * 1000 });
    Object.assign(moving.deps, { webhookSigner: shifted });
    const mine = moving.client();
    const made = await create(receiver.url, mine);
    const test = async () => {
      await mine.webhooks.test(made.id, { event_type: 'batch.failed' });
      const last = receiver.received.at(-1);
      assert.ok(last !== undefined);
      return last;
    };
    const rotated = await mine.webhooks.rotateSecret(made.id, { keep_old_secret_active_for_24_hours: true });
    assert.notEqual(rotated.signing_secret, made.signing_secret);
    const both = await test();
    assert.equal(String(both.headers['webhook-signature']).split(' ').length, 2);
    for (const secret of [made.signing_secret, rotated.signing_secret]) assert.equal((await unwrap(both, secret)).type, 'batch.failed');
    moving.advance(24 * 3600 * 1000 + 2000);
    const later = await test();
    assert.equal(String(later.headers['webhook-signature']).split(' ').length, 1);
    const again = await mine.webhooks.rotateSecret(made.id, {});
    await assert.rejects(unwrap(await test(), rotated.signing_secret), OpenAI.InvalidWebhookSignatureError);
    assert.match(again.signing_secret, /^whsec_/);
  });
});
