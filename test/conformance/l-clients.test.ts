import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createOpenAI } from '@ai-sdk/openai';
import {
  experimental_cancelBatch as cancelBatch,
  experimental_getBatchResults as getBatchResults,
  experimental_getBatchStatus as getBatchStatus,
  experimental_listBatches as listBatches,
  experimental_startBatch as startBatch,
  type Experimental_BatchItemResult as BatchItemResult,
  type Experimental_BatchReference as BatchReference,
} from 'ai';
import { pythonWith } from '../helpers/python.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { until } from '../helpers/until.ts';
import { startRecordingProxy } from './recording-proxy.ts';

const run = promisify(execFile);
const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const FIRST_BATCH = pathOf('../../examples/first-batch.jsonl');
const SDKS = [
  { key: 'node-7', node: 'openai' },
  { key: 'node-6', node: 'openai-6' },
  { key: 'node-5', node: 'openai-5' },
  { key: 'node-4', node: 'openai-4' },
  { key: 'python-3', requirements: '../e2e/python/requirements.txt' },
  { key: 'python-2', requirements: '../matrix/requirements-openai-2.txt' },
];
const MAX_MS = 240_000;

describe('L. Official SDKs', () => {
  let stack: Stack;
  before(async () => {
    const keys = [...SDKS.map(({ key }) => key), 'ai-sdk'].map((key) => `${key}=${key}`);
    stack = await startStack({ env: { NIGHTSHIFT_API_KEYS: keys.join(','), NIGHTSHIFT_COMPLETION_WINDOWS: '24h,15s' } });
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('case 116: what a user writes runs with every major version of both SDKs', { timeout: 600_000 }, async (t) => {
    for (const { key, node, requirements } of SDKS) {
      await t.test(key, async () => {
        await using proxy = await startRecordingProxy(stack.origin);
        const told = [proxy.baseURL, key, FIRST_BATCH];
        const { stdout } =
          node === undefined
            ? await run(await pythonWith(pathOf(requirements)), [pathOf('../matrix/acceptance.py'), ...told], { timeout: MAX_MS })
            : await run(process.execPath, [pathOf('../matrix/acceptance.ts'), node, ...told], { timeout: MAX_MS });
        assert.match(stdout, /^ok openai/);
        const refusals = proxy.seen.filter(({ status }) => status === 409);
        assert.equal(refusals.length, 1, 'a refused cancel is asked once');
        const retried = proxy.seen.filter(({ headers }) => Number(headers['x-stainless-retry-count'] ?? 0) > 0);
        assert.deepEqual(retried, []);
      });
    }
  });

  it('case 117: the AI SDK starts, follows, cancels and lists batches and understands every line', { timeout: 400_000 }, async () => {
    const provider = createOpenAI({ baseURL: stack.baseURL, apiKey: 'ai-sdk' });
    const start = async (requests: { id: string; script?: string }[]) =>
      await startBatch({
        provider,
        requests: requests.map(({ id, script }) => ({
          id,
          type: 'text' as const,
          model: 'example-model',
          prompt: `Say ${id}`,
          ...(script === undefined ? {} : { providerOptions: { openai: { user: script } } }),
        })),
      });
    const statusOf = async (batch: BatchReference) => await getBatchStatus({ provider, batch });
    const endOf = async (batch: BatchReference) => {
      const isOver = async () => ((await statusOf(batch)).status === 'pending' ? null : await statusOf(batch));
      return await until(isOver, { what: `batch ${batch.id} to end`, seconds: 120 });
    };
    const resultsOf = async (batch: BatchReference) => {
      const results = new Map<string, BatchItemResult>();
      for await (const result of getBatchResults({ provider, batch })) results.set(result.id, result);
      return results;
    };
    const errorOf = (result: BatchItemResult | undefined) => (result !== undefined && 'error' in result ? result.error : undefined);

    const mixed = await start([{ id: 'good' }, { id: 'bad', script: 'status=400' }, { id: 'broken', script: 'mode=malformed' }]);
    assert.equal(mixed.status, 'pending');
    const done = await endOf(mixed);
    assert.deepEqual([done.status, done.rawStatus, done.requestCounts?.total], ['completed', 'completed', 3]);
    const results = await resultsOf(mixed);
    const good = results.get('good');
    assert.ok(good?.type === 'text' && good.status === 'succeeded');
    assert.match(good.text, /Say good/);
    assert.ok((good.usage.totalTokens ?? 0) > 0);
    assert.deepEqual(
      [results.get('bad')?.status, errorOf(results.get('bad'))?.message],
      ['failed', 'This request was scripted to end with status 400.'],
    );
    assert.deepEqual([results.get('broken')?.status, errorOf(results.get('broken'))?.code], ['failed', 'invalid_response']);

    const running = await start([{ id: 'quick' }, { id: 'never', script: 'mode=hang' }]);
    await until(async () => (await statusOf(running)).requestCounts?.completed === 1, { what: 'the quick answer' });
    await cancelBatch({ provider, batch: running });
    const cancelled = await endOf(running);
    assert.deepEqual([cancelled.status, cancelled.rawStatus], ['failed', 'cancelled']);
    const partial = await resultsOf(running);
    assert.deepEqual([partial.get('quick')?.status, partial.get('never')?.status], ['succeeded', 'cancelled']);
    assert.equal(errorOf(partial.get('never'))?.code, 'batch_cancelled');

    const listed: string[] = [];
    for (let cursor: string | undefined, pages = 0; pages < 5; pages += 1) {
      const page = await listBatches({ provider, limit: 1, ...(cursor === undefined ? {} : { cursor }) });
      listed.push(...page.batches.map(({ id }) => id));
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    assert.deepEqual(listed, [running.id, mixed.id]);

    // The AI SDK always asks for 24 hours, so another client makes the batch that expires, of the same input file.
    const client = stack.client('ai-sdk');
    const { input_file_id } = await client.batches.retrieve(running.id);
    const short = await client.batches.create({ input_file_id, endpoint: '/v1/responses', completion_window: Object('15s').toString() });
    const late = { version: 2, id: short.id, provider: running.provider } as const;
    const expired = await endOf(late);
    assert.deepEqual([expired.status, expired.rawStatus], ['failed', 'expired']);
    const rest = await resultsOf(late);
    assert.deepEqual([rest.get('quick')?.status, rest.get('never')?.status], ['succeeded', 'expired']);
    assert.equal(errorOf(rest.get('never'))?.code, 'batch_expired');
  });
});
