import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toFile } from 'openai';
import type OpenAI from 'openai';
import { chatLine, chatLines, ended, resultLines, submit } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { medianMs } from '../helpers/median.ts';
import { until } from '../helpers/until.ts';
import { type RefusingProxy, startRefusingProxy } from '../temporal/refusing-proxy.ts';

const LINES = 300;
/** Longer than the heartbeat timeout of a stack, after which Temporal gives up an activity. */
const REFUSED_MS = 12_000;
/** The middle one of several calls: a client waits half a second for Temporal, and for the bucket. */
const ANSWERED_WITHIN_MS = 1_500;

describe('Temporal refusing all calls (RESOURCE_EXHAUSTED)', () => {
  let stack: Stack;
  let client: OpenAI;
  let proxy: RefusingProxy;
  let lateProxy: RefusingProxy;
  before(async () => {
    stack = await startStack({
      env: {
        NIGHTSHIFT_UPSTREAM_MAX_IN_FLIGHT: '8',
        NIGHTSHIFT_UPSTREAM_LIMITER: 'fixed',
        NIGHTSHIFT_LINES_PER_ACTIVITY: '4',
        NIGHTSHIFT_SWEEP_INTERVAL_SECONDS: '5',
      },
      upstream: ['--latency', '200'],
      temporalAt: async (address) => (proxy = await startRefusingProxy(address)).address,
    });
    lateProxy = await startRefusingProxy(stack.temporal.address);
    client = stack.client();
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await Promise.all([proxy[Symbol.asyncDispose](), lateProxy[Symbol.asyncDispose]()]);
  });

  const ids = Array.from({ length: LINES }, (_, index) => `refused-${index + 1}`);
  const completed = async (id: string) => (await client.batches.retrieve(id)).request_counts?.completed ?? 0;

  async function sent(): Promise<number[]> {
    const calls = await stack.upstream.calls();
    return ids.map((id) => calls[id] ?? 0);
  }

  /** The last of five answers, of which the middle one came in time. */
  async function inTime<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const answers: T[] = [];
    const ms = await medianMs(5, async () => answers.push(await ask()));
    assert.ok(ms < ANSWERED_WITHIN_MS, `${what} took ${Math.round(ms)} ms`);
    const last = answers.at(-1);
    assert.ok(last !== undefined);
    return last;
  }

  it('changes nothing for clients, rests batches, and sends nothing twice when it takes calls again', { timeout: 400_000 }, async () => {
    const running = await submit(client, ids.map((id) => chatLine(id, `marker=${id}`)).join('\n'));
    const cancelled = await submit(client, chatLines(200, 'cancelled-'));
    await until(async () => (await completed(running.id)) >= 25 && (await completed(cancelled.id)) > 0, { what: '25 answers' });

    // What tells about the server as a whole is not refused.
    proxy.refuses = (method) => method !== 'GetSystemInfo';
    const refusedMs = performance.now();
    const { id: input_file_id } = await client.files.create({
      file: await toFile(Buffer.from(chatLines(3, 'created-')), 'x.jsonl'),
      purpose: 'batch',
    });
    const body = { input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
    const created = await inTime('create', async () => await client.batches.create(body));
    assert.equal(created.status, 'validating');
    assert.equal((await inTime('cancel', async () => await client.batches.cancel(cancelled.id))).status, 'cancelling');
    assert.equal((await inTime('retrieve', async () => await client.batches.retrieve(running.id))).status, 'in_progress');
    assert.equal((await inTime('list', async () => await client.batches.list())).data.length, 7);
    const ready = await fetch(`${stack.origin}/ready`);
    assert.deepEqual([ready.status, await ready.json()], [200, { ready: true, temporal: false, bucket: true }]);
    // One that starts now gets as far as asking about its namespace, and is kept waiting there for longer than the SDK bears.
    const first = stack.worker;
    lateProxy.refuses = (method, userAgent) => method === 'DescribeNamespace' && userAgent.includes('tonic');
    const late = await stack.startWorker(undefined, { NIGHTSHIFT_TEMPORAL_ADDRESS: lateProxy.address });

    await until(() => performance.now() - refusedMs > REFUSED_MS, { what: 'Temporal to have refused for long', seconds: 60, everyMs: 500 });
    for (const method of ['PollWorkflowTaskQueue', 'PollActivityTaskQueue', 'StartWorkflowExecution', 'SignalWorkflowExecution']) {
      assert.ok((proxy.refused.get(method) ?? 0) > 0, `${method} was refused`);
    }
    assert.ok(
      [...proxy.refused.keys()].some((method) => /^Respond.*Completed$/.test(method)),
      'completions were refused',
    );
    assert.ok((await sent()).includes(0), 'there is something left to send');
    assert.equal((await client.batches.retrieve(created.id)).status, 'validating');

    // Back, but not all at once.
    let calls = 0;
    proxy.refuses = () => ++calls % 3 !== 0;
    await until(() => calls >= 90, { what: '90 calls, of which two in three were refused' });
    proxy.refuses = () => false;

    const batch = await ended(client, running.id);
    assert.deepEqual([batch.status, batch.request_counts], ['completed', { total: LINES, completed: LINES, failed: 0 }]);
    assert.deepEqual(
      (await resultLines(client, batch.output_file_id)).map((line) => line.custom_id),
      ids,
    );
    assert.deepEqual([...new Set(await sent())], [1], 'what was answered is stored, whoever refuses to hear of it');
    assert.equal((await ended(client, cancelled.id)).status, 'cancelled');
    assert.equal((await ended(client, created.id)).status, 'completed');
    assert.deepEqual([first.child.exitCode, stack.api.child.exitCode], [null, null]);
    await until(() => late.child.exitCode !== null || late.log().includes('the namespace is away'), {
      what: 'the late worker to try again',
    });
    lateProxy.refuses = () => false;
    await until(() => late.child.exitCode !== null || late.log().includes('"working"'), { what: 'the late worker to work' });
    assert.equal(late.child.exitCode, null);
    await until(async () => (await fetch(`${stack.origin}/ready`)).ok, { what: 'the API to be ready again' });
  });
});
