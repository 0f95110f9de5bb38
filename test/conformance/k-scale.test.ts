import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { chatLine, chatLines, ended, resultLines, submit } from '../helpers/lines.ts';
import type OpenAI from 'openai';
import { type Stack, startStack } from '../helpers/stack.ts';
import { failedErrors, placeOf, submitBytes } from './input.ts';
import { peakBytes } from './memory.ts';
import { completedLines, names } from './story.ts';

const LINES = 50_000;
/** Temporal warns at 10,240 events and 10 MiB of history, and ends a run at five times as much. */
const MAX_EVENTS = 10_000;
const MAX_HISTORY_BYTES = 10 * 1024 * 1024;

describe('K. Durability: the largest batch', () => {
  let stack: Stack;
  let client: OpenAI;
  let batch: OpenAI.Batch;
  before(async () => {
    stack = await startStack({ upstream: ['--latency', '2'] });
    client = stack.client();
  });
  after(async () => await stack[Symbol.asyncDispose]());

  it('case 115: 50,000 lines stay within what Temporal bears, and the status is read fast', { timeout: 600_000 }, async () => {
    const body = { model: 'example-model', messages: [{ role: 'user', content: 'Hello' }] };
    const line = (custom_id: string) => JSON.stringify({ custom_id, method: 'POST', url: '/v1/chat/completions', body });
    const ids = names('line-', LINES);
    const created = await submit(client, ids.map(line).join('\n'));

    const readMs: number[] = [];
    let isOver = false;
    const reading = (async () => {
      while (!isOver) {
        const began = performance.now();
        await client.batches.retrieve(created.id);
        readMs.push(performance.now() - began);
        await delay(200);
      }
    })();
    const behind = async () => {
      await completedLines(client, created.id, 1);
      const small = await ended(client, (await submit(client, chatLine('behind'))).id);
      return [small.status, (await client.batches.retrieve(created.id)).status];
    };
    const [statuses] = await Promise.all([behind(), ended(client, created.id, 500).then((end) => (batch = end))]).finally(
      () => (isOver = true),
    );
    await reading;
    assert.deepEqual(statuses, ['completed', 'in_progress'], 'one line behind 50,000 does not wait for them');
    assert.deepEqual(batch.request_counts, { total: LINES, completed: LINES, failed: 0 });
    // What docs/operations.md says of processes at this pace.
    const [api, worker] = [await peakBytes(stack.api.child.pid), await peakBytes(stack.worker.child.pid)];
    assert.ok(api < 230_000_000, `the API took ${api} bytes`);
    assert.ok(worker < 500_000_000, `the worker took ${worker} bytes`);
    const output = await resultLines(client, batch.output_file_id);
    assert.deepEqual(
      output.map(({ custom_id }) => custom_id),
      ids,
    );
    // The machine of a test is busy with the batch itself, so it is the usual read that is judged, not the slowest.
    const median = readMs.toSorted((a, b) => a - b)[Math.trunc(readMs.length / 2)] ?? Infinity;
    assert.ok(median < 200, `the median read took ${Math.round(median)} ms`);

    const connection = await Connection.connect({ address: stack.temporal.address });
    try {
      const temporal = new Client({ connection });
      const runs = [];
      for await (const run of temporal.workflow.list({ query: `WorkflowId STARTS_WITH '${created.id}'` })) runs.push(run);
      assert.ok(runs.length > 1, 'the batch and its shards');
      for (const { workflowId, runId } of runs) {
        const { historyLength, historySize = 0 } = await temporal.workflow.getHandle(workflowId, runId).describe();
        assert.ok(historyLength > 0 && historyLength < MAX_EVENTS, `${workflowId} has ${historyLength} events`);
        assert.ok(historySize < MAX_HISTORY_BYTES, `${workflowId} has ${historySize} bytes of history`);
      }
    } finally {
      await connection.close();
    }
  });

  it('case 54: 50,000 lines are accepted, 50,001 are not, and the errors of 50,000 bad lines are few', async () => {
    assert.equal(batch.request_counts?.total, LINES);
    const [error, ...more] = await failedErrors(client, await submitBytes(client, chatLines(LINES + 1)), 120);
    assert.deepEqual(more, []);
    assert.deepEqual(placeOf(error ?? {}), { code: 'too_many_tasks', line: null, param: null });

    const bad = await failedErrors(client, await submitBytes(client, `{}\n${'{bad\n'.repeat(LINES - 1)}`), 120);
    assert.ok(bad.length <= 101 && Buffer.byteLength(JSON.stringify(bad)) < 65_536, `${bad.length} errors`);
    assert.deepEqual(bad.at(-1), { code: 'too_many_errors', message: 'Validation stopped after 100 errors.', param: null, line: null });
  });
});
