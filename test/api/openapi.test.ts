import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createRouter } from '../../src/api/router.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { createModelStore } from '../../src/storage/model-store.ts';
import { startWebhookReceiver } from '../helpers/webhook-receiver.ts';
import { anUpstream } from '../helpers/upstream-facts.ts';
import { type DescribedApi, describedAnswers } from './described-answers.ts';
import { startWholeTestApi, type TestApi } from './test-api.ts';

const LINE = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n';
const headers = { 'content-type': 'application/json' };
const json = (value: unknown) => ({ body: JSON.stringify(value), headers });
const idOf = (value: unknown) => String(Object(value).id);

function form(fields: Record<string, string>, file?: { name: string; content: string }): { body: FormData } {
  const body = new FormData();
  if (file !== undefined) body.set(file.name, new Blob([file.content]), 'in.jsonl');
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  return { body };
}

describe('GET /openapi.json', () => {
  let api: TestApi;
  let described: DescribedApi;
  const draining = new AbortController();
  before(async () => {
    api = await startWholeTestApi({ draining: draining.signal, limits: { ...DEFAULT_LIMITS, maxUploadBytes: 5000 } });
    described = await describedAnswers(api);
  });
  after(() => api[Symbol.asyncDispose]());

  const upload = async (purpose = 'batch') =>
    idOf(await described.call('POST /v1/files', 200, form({ purpose }, { name: 'file', content: LINE })));

  it('needs no key and says that it is OpenAPI 3.1', async () => {
    const answer = await fetch(`${api.origin}/openapi.json`);
    assert.equal(answer.status, 200);
    assert.equal(Object(await answer.json()).openapi, '3.1.0');
  });

  it('describes exactly the routes there are', () => {
    const routes = createRouter(api.deps).stack.flatMap(({ methods, path }) =>
      methods.filter((method) => method !== 'HEAD').map((method) => `${method} ${String(path).replaceAll(/:(\w+)/g, '{$1}')}`),
    );
    assert.deepEqual(described.operations.toSorted(), routes.toSorted());
  });

  it('gives every operation a name of its own', async () => {
    const text = await (await fetch(`${api.origin}/openapi.json`)).text();
    const names = [...text.matchAll(/"operationId":"(\w+)","summary"/g)].map(([, name]) => name);
    assert.equal(new Set(names).size, described.operations.length);
  });

  it('names the endpoints, windows and limits that are configured', async () => {
    await using other = await startWholeTestApi({
      endpoints: ['/v1/rerank'],
      completionWindows: new Map([['7d', 1]]),
      limits: { ...DEFAULT_LIMITS, maxResumableUploadBytes: 12_345 },
    });
    const text = await (await fetch(`${other.origin}/openapi.json`)).text();
    for (const expected of ['["/v1/rerank"]', '["7d"]', '"maximum":12345']) assert.ok(text.includes(expected), expected);
  });

  describe('holds for', () => {
    it('files', async () => {
      const id = await upload();
      await described.call('GET /v1/files/{id}', 200, { id });
      await described.call('GET /v1/files', 200, { query: '?limit=1' });
      await described.call('GET /v1/files', 400, { query: '?limit=0' });
      await described.call('GET /v1/files/{id}/content', 200, { id });
      await described.call('GET /v1/files/{id}/content', 206, { id, headers: { range: 'bytes=1-2' } });
      await described.call('GET /v1/files/{id}/content', 416, { id, headers: { range: 'bytes=1000-' } });
      await described.call('GET /v1/files/{id}/content', 400, { id: await upload('user_data') });
      await described.call('POST /v1/files', 400, form({ purpose: 'batch' }));
      await described.call('POST /v1/files', 413, form({ purpose: 'batch' }, { name: 'file', content: 'x'.repeat(6000) }));
      await described.call('DELETE /v1/files/{id}', 200, { id });
      await described.call('DELETE /v1/files/{id}', 404, { id });
      await described.call('GET /v1/files/{id}', 404, { id });
      await described.call('GET /v1/files/{id}/content', 404, { id });
    });

    it('batches', async () => {
      const request = { input_file_id: await upload(), endpoint: '/v1/chat/completions', completion_window: '24h', metadata: { a: 'b' } };
      const id = idOf(await described.call('POST /v1/batches', 200, json(request)));
      await described.call('POST /v1/batches', 400, json({}));
      await described.call('POST /v1/batches', 413, json({ input_file_id: 'x'.repeat(1024 * 1024) }));
      const keyed = (endpoint: string) => ({
        body: JSON.stringify({ ...request, endpoint }),
        headers: { ...headers, 'idempotency-key': 'k' },
      });
      await described.call('POST /v1/batches', 200, keyed('/v1/chat/completions'));
      await described.call('POST /v1/batches', 409, keyed('/v1/embeddings'));
      await described.call('GET /v1/batches', 200);
      await described.call('GET /v1/batches', 400, { query: '?after=x' });
      await described.call('GET /v1/batches/{id}', 200, { id });
      await described.call('GET /v1/batches/{id}', 404, { id: 'x' });
      await described.call('POST /v1/batches/{id}/cancel', 200, { id });
      await described.call('POST /v1/batches/{id}/cancel', 404, { id: 'x' });
      await api.batches.update('tenant-a', id, (found) => ({
        ...found,
        batch: { ...found.batch, status: 'failed', errors: { object: 'list', data: [{ code: 'c', message: 'm', param: null, line: 3 }] } },
      }));
      await described.call('GET /v1/batches/{id}', 200, { id });
      await described.call('POST /v1/batches/{id}/cancel', 409, { id });
      await described.call('GET /v1/batches/{id}', 400, { id, query: '?wait=x' });
      await described.call('GET /v1/batches/{id}/events', 200, { id });
      await described.call('GET /v1/batches/{id}/events', 404, { id: 'x' });
      await described.call('POST /v1/batches/estimate', 200, json(request));
      await described.call('POST /v1/batches/estimate', 400, json({}));
      await described.call('GET /v1/batches/{id}/results', 200, { id });
      await described.call('GET /v1/batches/{id}/results', 400, { id, query: '?status=x' });
      await described.call('GET /v1/batches/{id}/results', 404, { id: 'x' });
      await described.call('POST /v1/batches/{id}/retry', 400, { id, ...json({ status: 'x' }) });
      await described.call('POST /v1/batches/{id}/retry', 404, { id: 'x', ...json({}) });
      await described.call('POST /v1/batches/{id}/retry', 409, { id, ...json({}) });
      await described.call('DELETE /v1/batches/{id}', 400, { id, query: '?delete_files=perhaps' });
      await described.call('DELETE /v1/batches/{id}', 200, { id });
      await described.call('DELETE /v1/batches/{id}', 404, { id });
      const running = idOf(await described.call('POST /v1/batches', 200, json(request)));
      await described.call('DELETE /v1/batches/{id}', 409, { id: running });
    });

    it('webhooks', async () => {
      await using receiver = await startWebhookReceiver();
      const request = { name: 'a', url: receiver.url, event_types: ['batch.failed'] };
      const id = idOf(await described.call('POST /v1/webhook_endpoints', 200, json(request)));
      await described.call('POST /v1/webhook_endpoints', 400, json({ ...request, url: 'x' }));
      await described.call('GET /v1/webhook_endpoints', 200);
      await described.call('GET /v1/webhook_endpoints', 400, { query: '?limit=0' });
      await described.call('GET /v1/webhook_endpoints/{id}', 200, { id });
      await described.call('POST /v1/webhook_endpoints/{id}', 200, { id, ...json({ name: 'b' }) });
      await described.call('POST /v1/webhook_endpoints/{id}/rotate_secret', 200, { id, ...json({}) });
      await described.call('POST /v1/webhook_endpoints/{id}/test', 200, { id, ...json({ event_type: 'batch.failed' }) });
      receiver.statuses = [500];
      await described.call('POST /v1/webhook_endpoints/{id}/test', 400, { id, ...json({ event_type: 'batch.failed' }) });
      await described.call('GET /v1/webhook_event_types', 200);
      await described.call('DELETE /v1/webhook_endpoints/{id}', 200, { id });
      await described.call('DELETE /v1/webhook_endpoints/{id}', 404, { id });
    });

    it('models', async () => {
      await createModelStore({ store: api.store, nowMs: Date.now }).tell(anUpstream('gpu'), ['Qwen/Qwen3-8B']);
      await described.call('GET /v1/models', 200);
      await described.call('GET /v1/models/{id}', 200, { id: 'Qwen/Qwen3-8B' });
      await described.call('GET /v1/models/{id}', 404, { id: 'gpt-4o' });
    });

    it('usage', async () => {
      const ended = { completed_at: 1_770_000_000, status: 'completed' } as const;
      const request = { input_file_id: 'file-x', endpoint: '/v1/chat/completions', completion_window: '24h' };
      const id = idOf(await described.call('POST /v1/batches', 200, json(request)));
      const sums = { requests: 1, failed: 0, input_tokens: 1, output_tokens: 1, total_tokens: 2 };
      const change = { usage_by_model: [{ model: null, ...sums }] };
      await api.batches.update('tenant-a', id, (found) => ({ ...found, ...change, batch: { ...found.batch, ...ended } }));
      await described.call('DELETE /v1/batches/{id}', 200, { id });
      for (const format of ['json', 'csv']) {
        const query = `?from=2026-01-01&to=2026-12-31&group_by=day,model,tenant&format=${format}`;
        const found = await described.call('GET /v1/nightshift/usage', 200, { query });
        assert.match(JSON.stringify(found), /tenant-a/);
      }
      await described.call('GET /v1/nightshift/usage', 400, { query: '?from=x' });
    });

    it('pauses', async () => {
      await createModelStore({ store: api.store, nowMs: Date.now }).tell(anUpstream('gpu'), []);
      await described.call('GET /v1/nightshift/upstreams', 200);
      await described.call('GET /v1/nightshift/upstreams', 403, { headers: { authorization: 'Bearer key-b' } });
      for (const to of ['pause', 'resume']) {
        await described.call(`POST /v1/nightshift/${to}`, 200);
        await described.call(`POST /v1/nightshift/upstreams/{id}/${to}`, 200, { id: 'gpu' });
        await described.call(`POST /v1/nightshift/upstreams/{id}/${to}`, 404, { id: 'none' });
        await described.call(`POST /v1/nightshift/${to}`, 403, { headers: { authorization: 'Bearer key-b' } });
        await described.call(`POST /v1/batches/{id}/${to}`, 404, { id: 'none' });
      }
    });

    it('uploads', async () => {
      const announcement = json({ bytes: LINE.length, filename: 'a', mime_type: 'b', purpose: 'batch' });
      const id = idOf(await described.call('POST /v1/uploads', 200, announcement));
      await described.call('POST /v1/uploads', 400, json({}));
      const data = form({}, { name: 'data', content: LINE });
      const part = idOf(await described.call('POST /v1/uploads/{id}/parts', 200, { id, ...data }));
      await described.call('POST /v1/uploads/{id}/parts', 400, { id, ...form({ a: 'b' }) });
      await described.call('POST /v1/uploads/{id}/parts', 404, { id: 'x', ...data });
      await described.call('POST /v1/uploads/{id}/parts', 413, { id, ...form({}, { name: 'data', content: 'x'.repeat(80_000) }) });
      await described.call('POST /v1/uploads/{id}/complete', 400, { id, ...json({ part_ids: [] }) });
      await described.call('POST /v1/uploads/{id}/complete', 404, { id: 'x', ...json({ part_ids: [] }) });
      await described.call('POST /v1/uploads/{id}/complete', 200, { id, ...json({ part_ids: [part] }) });
      await described.call('POST /v1/uploads/{id}/parts', 409, { id, ...data });
      await described.call('POST /v1/uploads/{id}/cancel', 409, { id });
      const other = idOf(await described.call('POST /v1/uploads', 200, announcement));
      await described.call('POST /v1/uploads/{id}/cancel', 200, { id: other });
      await described.call('POST /v1/uploads/{id}/cancel', 404, { id: 'x' });
      await described.call('POST /v1/uploads/{id}/complete', 409, { id: other, ...json({ part_ids: [] }) });
    });

    it('the process, and whoever has no key', async () => {
      await described.call('GET /health', 200);
      await described.call('GET /openapi.json', 200);
      await described.call('GET /ready', 200);
      draining.abort();
      await described.call('GET /ready', 503);
      for (const operation of described.operations.filter((each) => each.includes('/v1/'))) {
        await described.call(operation, 401, { id: 'x', headers: { authorization: 'Bearer nobody' } });
      }
    });
  });
});
